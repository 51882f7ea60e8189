use super::*;
use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStringExt;

const CONFIG: &str = r#"{"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge"}"#;

/// An environment with every variable in order, changed by `changes`; an empty value unsets.
fn environment(verb: &str, changes: &[(&str, &str)]) -> HashMap<String, OsString> {
    let mut variables: HashMap<String, OsString> = [
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "blue-1"),
        ("CNI_NETNS", "/run/netns/blue"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IP=10.1.0.5"),
        ("CNI_PATH", "/opt/cni/bin::/usr/lib/cni"),
    ]
    .iter()
    .chain(changes)
    .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
    .collect();
    variables.retain(|_, value| value != "absent");
    variables
}

fn read(variables: &HashMap<String, OsString>, mut stdin: &[u8]) -> Result<Request, Error> {
    Request::read(&|name| variables.get(name).cloned(), &mut stdin)
}

#[test]
fn verbs_are_exact() {
    for verb in Verb::ALL {
        assert_eq!(verb.to_string().parse::<Verb>().unwrap(), verb);
    }
    for text in ["add", "Add", "ADD ", "DELETE", ""] {
        assert!(text.parse::<Verb>().is_err(), "{text}");
    }
}

#[test]
fn an_attachment_has_all_its_parts() {
    for verb in [Verb::Add, Verb::Del, Verb::Check] {
        let request = read(&environment(verb.as_str(), &[]), CONFIG.as_bytes()).unwrap();
        assert_eq!(request.verb, verb);
        assert_eq!(request.container_id, "blue-1");
        assert_eq!(request.netns, Some(PathBuf::from("/run/netns/blue")));
        assert_eq!(request.ifname, "eth0");
        assert_eq!(request.args.ips, ["10.1.0.5".parse().unwrap()]);
        assert_eq!(request.path, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
        assert!(!request.netns_override);
        assert_eq!(request.config.name, "dbnet");
        assert_eq!(request.config.bytes, CONFIG.as_bytes());
    }
}

#[test]
fn other_verbs_look_at_no_attachment() {
    let wrong = [("CNI_CONTAINERID", "../.."), ("CNI_IFNAME", "a/b"), ("CNI_ARGS", "broken")];
    for verb in [Verb::Gc, Verb::Status, Verb::Version] {
        let request = read(&environment(verb.as_str(), &wrong), CONFIG.as_bytes()).unwrap();
        assert_eq!((request.container_id, request.ifname), Default::default());
        assert_eq!((request.netns, request.args), Default::default());
    }
}

#[test]
fn each_verb_requires_what_the_specification_says() {
    let attachment = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    for (verb, required) in [
        ("ADD", &attachment[..]),
        ("CHECK", &attachment[..]),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"][..]),
        ("GC", &["CNI_PATH"][..]),
        ("STATUS", &[][..]),
        ("VERSION", &[][..]),
    ] {
        for value in ["", "absent"] {
            let all = [
                ("CNI_CONTAINERID", value),
                ("CNI_NETNS", value),
                ("CNI_IFNAME", value),
                ("CNI_ARGS", value),
                ("CNI_PATH", value),
            ];
            match read(&environment(verb, &all), CONFIG.as_bytes()) {
                Ok(request) => {
                    assert!(required.is_empty(), "{verb}");
                    assert_eq!(request.path, [] as [PathBuf; 0]);
                }
                Err(Error::MissingVariables { names, .. }) => assert_eq!(names, required),
                Err(error) => panic!("{verb}: {error}"),
            }
            for (name, value) in all {
                let read = read(&environment(verb, &[(name, value)]), CONFIG.as_bytes());
                assert_eq!(read.is_err(), required.contains(&name), "{verb} {name}");
            }
        }
    }
}

#[test]
fn every_missing_variable_is_in_one_message() {
    let variables = environment("ADD", &[("CNI_CONTAINERID", ""), ("CNI_IFNAME", "absent")]);
    let error = read(&variables, b"").unwrap_err().to_cni();
    assert_eq!(error.code, 4);
    assert_eq!(error.msg, "ADD needs CNI_CONTAINERID and CNI_IFNAME in the environment, not empty");
}

#[test]
fn a_broken_environment_is_code_4_and_named() {
    for (changes, says) in [
        ([("CNI_COMMAND", "")], "CNI_COMMAND is not set"),
        ([("CNI_COMMAND", "absent")], "CNI_COMMAND is not set"),
        (
            [("CNI_COMMAND", "DELETE")],
            "CNI_COMMAND is \"DELETE\"; set it to one of ADD, DEL, CHECK, GC, STATUS or VERSION",
        ),
        ([("CNI_CONTAINERID", "../a")], "CNI_CONTAINERID: \"../a\""),
        ([("CNI_IFNAME", "0123456789abcdef")], "CNI_IFNAME: \"0123"),
        ([("CNI_ARGS", "IP=x")], "CNI_ARGS: in \"IP=x\""),
        ([("CNI_ARGS", "A=b")], "CNI_ARGS: no plugin here knows \"A=b\""),
    ] {
        let error = read(&environment("ADD", &changes), CONFIG.as_bytes()).unwrap_err();
        let error = error.to_cni();
        assert_eq!(error.code, 4, "{}", error.msg);
        assert!(error.msg.contains(says), "{}", error.msg);
    }
}

#[test]
fn values_must_be_utf_8() {
    for name in [
        "CNI_COMMAND",
        "CNI_CONTAINERID",
        "CNI_NETNS",
        "CNI_IFNAME",
        "CNI_ARGS",
        "CNI_PATH",
        "CNI_NETNS_OVERRIDE",
    ] {
        let mut variables = environment("ADD", &[]);
        variables.insert(name.to_owned(), OsString::from_vec(b"a\xff".to_vec()));
        let error = read(&variables, CONFIG.as_bytes()).unwrap_err().to_cni();
        assert_eq!(error.code, 4);
        assert!(error.msg.starts_with(name) && error.msg.contains("UTF-8"), "{}", error.msg);
    }
}

#[test]
fn del_goes_on_without_broken_args() {
    let variables = environment("DEL", &[("CNI_ARGS", "A=b")]);
    assert_eq!(read(&variables, CONFIG.as_bytes()).unwrap().args, Args::default());
    let variables = environment("CHECK", &[("CNI_ARGS", "A=b")]);
    assert!(read(&variables, CONFIG.as_bytes()).is_err());
}

#[test]
fn the_namespace_may_be_overridden() {
    for (value, overridden) in
        [("1", true), ("true", true), ("TRUE", true), ("0", false), ("yes", false), ("", false)]
    {
        let variables = environment("ADD", &[("CNI_NETNS_OVERRIDE", value)]);
        let request = read(&variables, CONFIG.as_bytes()).unwrap();
        assert_eq!(request.netns_override, overridden, "{value}");
    }
}

#[test]
fn a_verb_needs_a_configuration_of_its_time() {
    for verb in Verb::ALL {
        for version in Version::ALL {
            let stdin = format!(r#"{{"cniVersion": "{version}", "name": "a", "type": "b"}}"#);
            let result = read(&environment(verb.as_str(), &[]), stdin.as_bytes());
            let needs = match verb {
                Verb::Check => "0.4.0",
                Verb::Gc | Verb::Status => "1.1.0",
                _ => "0.1.0",
            };
            match result {
                Ok(request) => {
                    assert!(version.as_str() >= needs, "{verb} {version}");
                    assert_eq!(request.config.version, version);
                }
                Err(error) => {
                    assert!(version.as_str() < needs, "{verb} {version}: {error}");
                    let error = error.to_cni();
                    assert_eq!((error.code, error.cni_version.as_str()), (1, version.as_str()));
                    assert_eq!(
                        error.msg,
                        format!(
                            "{verb} needs cniVersion {needs} or later, but the configuration asks for {version}"
                        )
                    );
                }
            }
        }
    }
}

#[test]
fn version_takes_any_stdin_and_the_rest_do_not() {
    for stdin in ["", "not JSON", "{}", r#"{"cniVersion": "9.9.9"}"#] {
        let request = read(&environment("VERSION", &[]), stdin.as_bytes()).unwrap();
        assert_eq!(request.config.bytes, stdin.as_bytes());
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            assert!(read(&environment(verb, &[]), stdin.as_bytes()).is_err());
        }
    }
}

#[test]
fn stdin_that_breaks_is_code_5_and_keeps_its_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("pipe burst"))
        }
    }
    let variables = environment("ADD", &[]);
    let error =
        Request::read(&|name| variables.get(name).cloned(), &mut Broken).unwrap_err().to_cni();
    assert_eq!((error.code, error.details.as_str()), (5, "pipe burst"));
}

/// A person who forgets a variable must not be left waiting for stdin.
#[test]
fn stdin_is_not_touched_before_the_environment_is_in_order() {
    struct Untouchable;
    impl Read for Untouchable {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("stdin was read");
        }
    }
    let variables = environment("ADD", &[("CNI_IFNAME", "")]);
    let read = Request::read(&|name| variables.get(name).cloned(), &mut Untouchable);
    assert!(matches!(read, Err(Error::MissingVariables { .. })));
}
