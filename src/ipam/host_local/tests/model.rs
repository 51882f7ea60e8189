//! Long runs beside an allocator that is nothing but a list.

use super::*;

/// Every address in order, and who has it.
struct Model {
    addresses: Vec<(String, Option<String>)>,
    last: Option<usize>,
}

impl Model {
    fn new(ranges: &[(&str, u8, u8)], barred: &[String]) -> Self {
        let all = ranges
            .iter()
            .flat_map(|(base, first, last)| (*first..=*last).map(move |n| format!("{base}{n}")));
        Self {
            addresses: all.filter(|one| !barred.contains(one)).map(|one| (one, None)).collect(),
            last: None,
        }
    }

    fn lease(&mut self, id: &str, requested: Option<&str>) -> Option<String> {
        if self.addresses.iter().any(|(_, holder)| holder.as_deref() == Some(id)) {
            return None;
        }
        let count = self.addresses.len();
        let start = self.last.map_or(0, |last| last + 1);
        let place = (0..count).map(|step| (start + step) % count).find(|place| {
            let (address, holder) = &self.addresses[*place];
            holder.is_none() && requested.is_none_or(|requested| requested == address)
        })?;
        self.addresses[place].1 = Some(id.to_owned());
        self.last = Some(place);
        Some(self.addresses[place].0.clone())
    }

    fn release(&mut self, id: &str) -> Option<String> {
        let (address, holder) =
            self.addresses.iter_mut().find(|(_, holder)| holder.as_deref() == Some(id))?;
        *holder = None;
        Some(address.clone())
    }
}

/// `changes`: whether somebody else now and then touches the directory, so that it is unmarked.
fn run(seed: u64, steps: usize, changes: bool) {
    let folder = Folder::new();
    let ipam = || {
        json!({"ranges": [[
            {"subnet": "10.1.0.0/26", "rangeStart": "10.1.0.20", "exclude": ["10.1.0.30-10.1.0.39"]},
            {"subnet": "10.2.0.0/28", "gateway": "10.2.0.9"},
            {"subnet": "10.1.0.0/26", "rangeEnd": "10.1.0.10"},
        ]]})
    };
    let mut barred: Vec<String> = (30..40).map(|n| format!("10.1.0.{n}")).collect();
    barred.extend(["10.1.0.1".to_owned(), "10.2.0.9".to_owned()]);
    let ranges = [("10.1.0.", 20, 62), ("10.2.0.", 1, 14), ("10.1.0.", 1, 10)];
    let mut model = Model::new(&ranges, &barred);
    let source = folder.source(ipam());
    let mut numbers = Numbers(seed);
    for step in 0..steps {
        let id = format!("c{}", numbers.below(80));
        let at = format!("seed {seed}, step {step}, {id}");
        // Now more leases, now more releases, so that it is full and empty by turns.
        let leases = if (step / 150).is_multiple_of(2) { 7 } else { 3 };
        if numbers.below(10) < leases {
            let requested = (numbers.below(6) == 0)
                .then(|| model.addresses[numbers.below(model.addresses.len())].0.clone());
            let expected = model.lease(&id, requested.as_deref());
            let requested: Vec<&str> = requested.as_deref().into_iter().collect();
            let source = folder.requesting(ipam(), &requested);
            let preview = source.preview(holder(&id)).ok();
            let leased = lease(&source, &id);
            match &expected {
                Some(address) => assert_eq!(leased.unwrap(), [address.as_str()], "{at}"),
                None => assert!(leased.is_err(), "{at}: {leased:?}"),
            }
            let preview = preview.map(|leased| leased.ips[0].address.ip().to_string());
            assert_eq!(preview, expected, "{at}");
        } else {
            let expected = model.release(&id);
            assert_eq!(
                texts(&source.held(holder(&id)).unwrap()).first(),
                expected.as_ref(),
                "{at}"
            );
            assert_eq!(release(&source, &id).first(), expected.as_ref(), "{at}");
        }
        if changes && numbers.below(20) == 0 {
            folder.write("foreign", "");
            fs::remove_file(folder.file("foreign")).unwrap();
        }
        if step % 50 == 0 {
            let has_room = model.addresses.iter().any(|(_, holder)| holder.is_none());
            assert_eq!(source.room().is_ok(), has_room, "{at}");
            let held = model.addresses.iter().filter(|(_, holder)| holder.is_some()).count();
            assert_eq!(folder.leases().len(), held, "{at}");
            source.release(holder("nobody")).unwrap();
            folder.assert_sound();
        }
    }
    if !changes {
        folder.assert_bitmaps_true();
    }
}

#[test]
fn undisturbed() {
    for seed in 1..4 {
        run(seed, 1200, false);
    }
}

#[test]
fn disturbed() {
    for seed in 4..7 {
        run(seed, 1200, true);
    }
}
