//! The program's memory where its C library is musl, whose own allocator asks the kernel for memory, and
//! gives it back, dozens of times in a short call.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dlmalloc::Dlmalloc;

/// Doug Lea's allocator behind a lock that costs two instructions where nobody waits for it: a call is one
/// thread and takes memory some thousand times.
pub struct Memory {
    is_taken: AtomicBool,
    heap: UnsafeCell<Dlmalloc>,
}

// SAFETY: what `heap` holds is reached only by `Memory::with`, which one thread is in at a time.
unsafe impl Sync for Memory {}

impl Memory {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "made once, for a static")]
    pub const fn new() -> Self {
        Self { is_taken: AtomicBool::new(false), heap: UnsafeCell::new(Dlmalloc::new()) }
    }

    /// `work` takes no memory itself, so it does not come here again.
    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        while self.is_taken.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        // SAFETY: `is_taken` keeps others out until it is given back below, and the reference ends before.
        let done = work(unsafe { &mut *self.heap.get() });
        self.is_taken.store(false, Ordering::Release);
        done
    }
}

// SAFETY: dlmalloc gives memory of the size and alignment asked for, or null, that is in nobody else's
// hands until it is given back; nothing here unwinds.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: dlmalloc's conditions are those of this function.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` is from one of these functions, with this layout.
        self.with(|heap| unsafe { heap.free(pointer, layout.size(), layout.align()) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.with(|heap| unsafe { heap.realloc(pointer, layout.size(), layout.align(), size) })
    }
}
