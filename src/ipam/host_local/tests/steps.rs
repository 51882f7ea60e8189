//! Any sequence of leases, releases, GC, dead holders and damaged files, beside a model that is a map
//! (proptest). A sequence that fails is made as short as it can be. `PROPTEST_CASES` makes it more than
//! the usual number of sequences, which are the same every time.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Who may hold leases; each has two interfaces.
const CONTAINERS: usize = 5;
/// The addresses that can be leased, of both sets.
const ADDRESSES: [[&str; 5]; 2] = [
    ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"],
    ["fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6"],
];

type Name = (String, &'static str);

/// What is done.
#[derive(Debug, Clone)]
enum Step {
    /// A lease, with an address of a set's asked for by its number.
    Lease {
        who: usize,
        asked: [Option<usize>; 2],
    },
    Release {
        who: usize,
    },
    /// GC with the containers for which the bit is set.
    Collect {
        valid: usize,
    },
    /// The container is gone, and nobody has released anything; or there again.
    Abandon {
        container: usize,
        gone: bool,
    },
    /// Something happens to the file of an address, if there is one.
    Damage {
        set: usize,
        address: usize,
        how: Damage,
    },
    /// Something happens to what stands beside the leases.
    Disturb {
        how: Disturbance,
    },
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Emptied,
    Garbage,
    /// Names another holder, who has never asked.
    Strangers,
    Removed,
}

#[derive(Debug, Clone, Copy)]
enum Disturbance {
    /// The mark goes.
    Touched,
    IndexRemoved,
    BitmapsGarbage,
    LastReservedGarbage,
    /// A kill while a lease was written.
    Staged,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2 * CONTAINERS;
    let asked = || prop_oneof![4 => Just(None), 1 => (0..5usize).prop_map(Some)];
    let damage = prop_oneof![
        Just(Damage::Emptied),
        Just(Damage::Garbage),
        Just(Damage::Strangers),
        Just(Damage::Removed)
    ];
    let disturbance = prop_oneof![
        Just(Disturbance::Touched),
        Just(Disturbance::IndexRemoved),
        Just(Disturbance::BitmapsGarbage),
        Just(Disturbance::LastReservedGarbage),
        Just(Disturbance::Staged)
    ];
    let step = prop_oneof![
        10 => (who.clone(), asked(), asked())
            .prop_map(|(who, v4, v6)| Step::Lease { who, asked: [v4, v6] }),
        4 => who.prop_map(|who| Step::Release { who }),
        1 => (0..1usize << CONTAINERS).prop_map(|valid| Step::Collect { valid }),
        1 => (0..CONTAINERS, any::<bool>())
            .prop_map(|(container, gone)| Step::Abandon { container, gone }),
        1 => (0..2usize, 0..5usize, damage)
            .prop_map(|(set, address, how)| Step::Damage { set, address, how }),
        1 => disturbance.prop_map(|how| Step::Disturb { how }),
    ];
    vec(step, 1..40)
}

fn name(who: usize) -> Name {
    (format!("c{}", who / 2), if who.is_multiple_of(2) { "eth0" } else { "net1" })
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq)]
enum Has {
    Holder(Name),
    /// A file without contents.
    Nobody,
    /// A file that names nobody who can be asked.
    Unknown,
}

/// The store, as simple as it can be told.
#[derive(Default)]
struct Model {
    leases: BTreeMap<&'static str, Has>,
    gone: [bool; CONTAINERS],
}

impl Model {
    fn is_gone(&self, container_id: &str) -> bool {
        (0..CONTAINERS).any(|number| self.gone[number] && container_id == format!("c{number}"))
    }

    fn of(&self, name: &Name) -> Vec<&'static str> {
        let is_theirs = |has: &Has| *has == Has::Holder(name.clone());
        self.leases.iter().filter(|(_, has)| is_theirs(has)).map(|(address, _)| *address).collect()
    }

    fn is_full(&self, set: usize) -> bool {
        ADDRESSES[set].iter().all(|address| self.leases.contains_key(address))
    }

    /// What a lease from a full set gives back first.
    fn reclaim(&mut self, set: usize) {
        let gone: Vec<Has> = ADDRESSES[set]
            .iter()
            .filter_map(|address| self.leases.get(address))
            .filter(|has| matches!(has, Has::Holder((id, _)) if self.is_gone(id)))
            .cloned()
            .collect();
        self.leases.retain(|_, has| *has != Has::Nobody && !gone.contains(has));
    }

    /// What a lease does before it gives addresses, and whether it gives any.
    fn can_lease(&mut self, name: &Name, asked: [Option<usize>; 2]) -> bool {
        if !self.of(name).is_empty() {
            return false;
        }
        for (set, asked) in asked.into_iter().enumerate() {
            match asked {
                Some(number) if self.leases.contains_key(ADDRESSES[set][number]) => return false,
                Some(_) => {}
                None => {
                    if self.is_full(set) {
                        self.reclaim(set);
                    }
                    if self.is_full(set) {
                        return false;
                    }
                }
            }
        }
        true
    }
}

/// The store and the model, side by side.
struct Pair {
    folder: Folder,
    model: Model,
}

impl Pair {
    fn ipam() -> Value {
        json!({"ranges": [
            [{"subnet": "10.1.0.0/29"}],
            [{"subnet": "fd00::/64", "rangeStart": "fd00::2", "rangeEnd": "fd00::6"}],
        ]})
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Lease { who, asked } => self.lease(&name(*who), *asked),
            Step::Release { who } => {
                let name = name(*who);
                let held = self.model.of(&name);
                let source = self.folder.source(Self::ipam());
                let holder = Holder { container_id: &name.0, ifname: name.1 };
                assert_eq!(texts(&source.held(holder).unwrap()), held, "held");
                let mut released = texts(&source.release(holder).unwrap());
                released.sort();
                assert_eq!(released, held, "released");
                self.model.leases.retain(|_, has| *has != Has::Holder(name.clone()));
            }
            Step::Collect { valid } => {
                let is_valid = |id: &str| {
                    (0..CONTAINERS).any(|one| valid & (1 << one) != 0 && id == format!("c{one}"))
                };
                let source = self.folder.source(Self::ipam());
                source.retain(&|holder| is_valid(holder.container_id)).unwrap();
                self.model.leases.retain(|_, has| match has {
                    Has::Holder((id, _)) => is_valid(id),
                    Has::Nobody => false,
                    Has::Unknown => true,
                });
            }
            Step::Abandon { container, gone } => self.model.gone[*container] = *gone,
            Step::Damage { set, address, how } => self.damage(ADDRESSES[*set][*address], *how),
            Step::Disturb { how } => self.disturb(*how),
        }
    }

    fn lease(&mut self, name: &Name, asked: [Option<usize>; 2]) {
        let requested: Vec<&str> = asked
            .iter()
            .enumerate()
            .filter_map(|(set, asked)| Some(ADDRESSES[set][(*asked)?]))
            .collect();
        let source = self.folder.requesting(Self::ipam(), &requested);
        let holder = Holder { container_id: &name.0, ifname: name.1 };
        let gone = self.model.gone;
        let mut abandoned = |holder: Holder<'_>| {
            (0..CONTAINERS).any(|one| gone[one] && holder.container_id == format!("c{one}"))
        };
        let leased = source.lease(holder, &mut abandoned);
        let can = self.model.can_lease(name, asked);
        match leased {
            Err(error) => assert!(!can, "{name:?} was refused: {error}"),
            Ok(leased) => {
                assert!(can, "{name:?} got what it cannot have: {leased:?}");
                for (set, ip) in leased.ips.iter().enumerate() {
                    let text = ip.address.ip().to_string();
                    let known = ADDRESSES[set].iter().find(|known| **known == text);
                    let address = *known.unwrap_or_else(|| panic!("{text} is of no range"));
                    if let Some(asked) = asked[set] {
                        assert_eq!(address, ADDRESSES[set][asked], "not what was asked for");
                    }
                    let had = self.model.leases.insert(address, Has::Holder(name.clone()));
                    assert_eq!(had, None, "{address} was given twice");
                }
                assert_eq!(leased.ips.len(), 2);
            }
        }
    }

    fn damage(&mut self, address: &'static str, how: Damage) {
        if !self.model.leases.contains_key(address) {
            return;
        }
        let has = match how {
            Damage::Emptied => {
                self.folder.write(address, "");
                Has::Nobody
            }
            Damage::Garbage => {
                fs::write(self.folder.file(address), [0xff, 0xfe, 0]).unwrap();
                Has::Unknown
            }
            Damage::Strangers => {
                self.folder.write(address, "stranger\r\neth0");
                Has::Holder(("stranger".to_owned(), "eth0"))
            }
            Damage::Removed => {
                fs::remove_file(self.folder.file(address)).unwrap();
                self.model.leases.remove(address);
                return;
            }
        };
        self.model.leases.insert(address, has);
    }

    fn disturb(&self, how: Disturbance) {
        if !self.folder.net().exists() {
            return;
        }
        let names: Vec<String> = self.folder.files().into_keys().collect();
        let of = |start: &'static str| names.iter().filter(move |name| name.starts_with(start));
        match how {
            Disturbance::Touched => {
                self.folder.write("touched", "");
                fs::remove_file(self.folder.file("touched")).unwrap();
            }
            Disturbance::IndexRemoved => {
                of(".causeway:").for_each(|name| fs::remove_file(self.folder.file(name)).unwrap());
            }
            Disturbance::BitmapsGarbage => {
                of(".causeway-used:").for_each(|name| self.folder.write(name, "garbage"));
            }
            Disturbance::LastReservedGarbage => {
                of("last_reserved_ip").for_each(|name| self.folder.write(name, "garbage"));
            }
            Disturbance::Staged => self.folder.write(".causeway-new", "c0\r\neth0"),
        }
    }

    /// The files say what the model says.
    fn compare(&self) {
        let found: BTreeMap<String, Has> = self
            .folder
            .leases()
            .into_iter()
            .map(|(address, text)| {
                let has = match text.split_once("\r\n") {
                    Some((id, "eth0")) => Has::Holder((id.to_owned(), "eth0")),
                    Some((id, "net1")) => Has::Holder((id.to_owned(), "net1")),
                    _ if text.is_empty() => Has::Nobody,
                    _ => Has::Unknown,
                };
                (address.to_string(), has)
            })
            .collect();
        let expected: BTreeMap<String, Has> =
            self.model.leases.iter().map(|(one, has)| ((*one).to_owned(), has.clone())).collect();
        assert_eq!(found, expected);
        // A file of nobody's is in nobody's way.
        let is_nobodys = |address: &&str| self.model.leases.get(*address) == Some(&Has::Nobody);
        let has_room =
            (0..2).all(|set| !self.model.is_full(set) || ADDRESSES[set].iter().any(is_nobodys));
        assert_eq!(self.folder.source(Self::ipam()).room().is_ok(), has_room, "room");
    }
}

#[test]
fn the_store_is_what_a_map_would_be() {
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 128 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let numbers = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, numbers);
    let run = runner.run(&steps(), |steps| {
        let mut pair = Pair { folder: Folder::new(), model: Model::default() };
        for step in &steps {
            pair.take(step);
            pair.compare();
        }
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
}
