//! Many at once: every call locks the directory for itself, so threads are as good as processes.

use std::collections::HashSet;
use std::thread;

use super::*;

#[test]
fn no_address_is_leased_twice() {
    const THREADS: usize = 8;
    const LEASES: usize = 50;
    let folder = Folder::new();
    let ipam = || json!({"ranges": [[{"subnet": "10.1.0.0/22"}], [{"subnet": "fd00::/64"}]]});
    let all: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let source = folder.source(ipam());
                scope.spawn(move || {
                    let mut leased = Vec::new();
                    for n in 0..LEASES {
                        leased.extend(lease(&source, &format!("t{number}-{n}")).unwrap());
                        // Others come and go in between.
                        lease(&source, &format!("t{number}-short")).unwrap();
                        assert_eq!(release(&source, &format!("t{number}-short")).len(), 2);
                    }
                    leased
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.len(), THREADS * LEASES * 2);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "an address was leased twice");
    assert_eq!(folder.leases().len(), all.len());
    folder.assert_sound();
}

/// A range that is full most of the time.
#[test]
fn a_range_that_is_too_small_for_all() {
    let folder = Folder::new();
    let ipam = || json!({"subnet": "10.1.0.0/28"});
    thread::scope(|scope| {
        for number in 0..8 {
            let (folder, source) = (&folder, folder.source(ipam()));
            scope.spawn(move || {
                let ids: Vec<String> = (0..3).map(|n| format!("t{number}-{n}")).collect();
                for _ in 0..30 {
                    for id in &ids {
                        match lease(&source, id) {
                            Ok(leased) => {
                                let text = fs::read_to_string(folder.file(&leased[0])).unwrap();
                                assert_eq!(text, format!("{id}\r\neth0"));
                            }
                            Err(Error::Exhausted { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    for id in &ids {
                        assert!(release(&source, id).len() <= 1);
                    }
                }
            });
        }
    });
    assert!(folder.leases().is_empty());
    folder.assert_sound();
}
