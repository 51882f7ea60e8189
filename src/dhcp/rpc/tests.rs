//! Conversations of the reference's plugin and daemon, as they went over a socket, read back; and
//! our own ends with each other.

use std::io::Cursor;
use std::os::unix::net::UnixStream;
use std::thread;

use super::*;

/// Bytes of a real run; see testdata/dhcp.
macro_rules! captured {
    ($name:literal) => {
        include_bytes!(concat!("../../../testdata/dhcp/", $name))
    };
}

/// A stream that reads what was captured and forgets what is written.
struct Captured(Cursor<&'static [u8]>);

impl Read for Captured {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn request(bytes: &'static [u8]) -> Incoming {
    let mut session = Session::accept(Captured(Cursor::new(bytes))).unwrap();
    let call = session.next_call().unwrap().unwrap();
    assert!(session.next_call().unwrap().is_none());
    call
}

fn reply(bytes: &'static [u8], method: &str) -> Result<Answer, Error> {
    Client::open(Captured(Cursor::new(bytes))).unwrap().call(method, &CmdArgs::default())
}

#[test]
fn requests_of_both_releases_are_read() {
    let allocate =
        [captured!("1.1.1-allocate.request").as_slice(), captured!("1.9.1-allocate.request")];
    for bytes in allocate {
        let call = request(bytes);
        assert_eq!(call.method, ALLOCATE);
        assert_eq!(call.sequence, 0);
        let args = call.args;
        assert_eq!(args.container_id, "abc");
        assert_eq!(args.netns, "/run/netns/blue");
        assert_eq!(args.ifname, "eth0");
        assert_eq!(args.args, "IgnoreUnknown=1;K8S_POD_NAME=web");
        assert_eq!(args.path, "/usr/lib/cni");
        assert!(args.stdin.starts_with(b"{\"cniVersion\":\"1.0.0\",\"name\":\"net\""));
    }
    let release =
        [captured!("1.1.1-release.request").as_slice(), captured!("1.9.1-release.request")];
    for bytes in release {
        assert_eq!(request(bytes).method, RELEASE);
    }
}

#[test]
fn results_of_both_releases_are_read() {
    let old = reply(captured!("1.1.1-allocate.reply"), ALLOCATE).unwrap();
    let new = reply(captured!("1.9.1-allocate.reply"), ALLOCATE).unwrap();
    let route = |dst: &str, gw: &str| Route {
        dst: dst.parse().unwrap(),
        gw: Some(gw.parse().unwrap()),
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: None,
    };
    let routes = [
        route("10.20.0.0/16", "10.9.0.2"),
        route("0.0.0.0/0", "10.9.0.1"),
        route("192.168.5.0/24", "0.0.0.0"),
    ];
    assert_eq!(old.ips[0].address, "10.9.0.5/24".parse().unwrap());
    assert_eq!(old.ips[0].gateway, Some("10.9.0.1".parse().unwrap()));
    assert_eq!(old.routes, routes);
    assert!(old.dns.is_empty());
    assert_eq!(new.ips[0].address, "10.9.0.8/24".parse().unwrap());
    let [a, b, c] = routes.map(|route| Route { priority: Some(7), ..route });
    assert_eq!(new.routes, [a, b, Route { scope: Some(253), ..c }]);
}

#[test]
fn other_answers_of_both_releases_are_read() {
    let released = [captured!("1.1.1-release.reply").as_slice(), captured!("1.9.1-release.reply")];
    for bytes in released {
        assert_eq!(reply(bytes, RELEASE).unwrap(), Answer::default());
    }
    let refused = [captured!("1.1.1-refused.reply").as_slice(), captured!("1.9.1-refused.reply")];
    for bytes in refused {
        let error = reply(bytes, ALLOCATE).unwrap_err().to_string();
        assert_eq!(error, "failed to Statfs \"/run/netns/none\": no such file or directory");
    }
}

/// What our end writes is byte for byte what the reference's writes.
#[test]
fn our_requests_are_the_references() {
    let theirs = request(captured!("1.9.1-allocate.request"));
    let mut out = CONNECT.to_vec();
    let mut encoder = Encoder::default();
    let head = Value::Struct(vec![
        ("ServiceMethod".into(), Value::Text(ALLOCATE.into())),
        ("Seq".into(), Value::Uint(0)),
    ]);
    out.extend(encoder.encode(Type::Struct(&REQUEST), &head));
    out.extend(encoder.encode(Type::Struct(&CMD_ARGS), &theirs.args.to_value()));
    assert_eq!(
        String::from_utf8_lossy(&out),
        String::from_utf8_lossy(captured!("1.9.1-allocate.request"))
    );
}

#[test]
fn our_ends_understand_each_other() {
    let (near, far) = UnixStream::pair().unwrap();
    let answer = reply(captured!("1.9.1-allocate.reply"), ALLOCATE).unwrap();
    let expected = answer.clone();
    let daemon = thread::spawn(move || {
        let mut session = Session::accept(far).unwrap();
        let call = session.next_call().unwrap().unwrap();
        session.answer(&call, &Ok(Some(answer))).unwrap();
        let call = session.next_call().unwrap().unwrap();
        session.answer(&call, &Err("no".into())).unwrap();
        let call = session.next_call().unwrap().unwrap();
        session.answer(&call, &Ok(None)).unwrap();
        assert!(session.next_call().unwrap().is_none());
    });
    let args = CmdArgs { container_id: "x".repeat(300), ..CmdArgs::default() };
    let mut client = Client::open(near).unwrap();
    assert_eq!(client.call(ALLOCATE, &args).unwrap(), expected);
    assert_eq!(client.call(ALLOCATE, &args).unwrap_err().to_string(), "no");
    assert_eq!(client.call(RELEASE, &args).unwrap(), Answer::default());
    drop(client);
    daemon.join().unwrap();
}

#[test]
fn something_else_at_the_socket_is_told_so() {
    let page = Captured(Cursor::new(b"HTTP/1.1 404 Not Found\r\n\r\n"));
    let error = Client::open(page).err().unwrap().to_string();
    assert!(error.contains("404 Not Found"), "{error}");
    assert!(Session::accept(Captured(Cursor::new(b"GET / HTTP/1.0\r\n\r\n"))).is_err());
}

#[test]
fn addresses_of_go_may_be_long() {
    let mut long = vec![0; 10];
    long.extend([0xff, 0xff, 10, 0, 0, 1]);
    assert_eq!(address(&long), Some("10.0.0.1".parse().unwrap()));
    let mut mask = vec![0xff; 12];
    mask.extend([255, 255, 0, 0]);
    let net =
        Value::Struct(vec![("IP".into(), Value::Bytes(long)), ("Mask".into(), Value::Bytes(mask))]);
    assert_eq!(network(Some(&net)).unwrap(), "10.0.0.1/16".parse().unwrap());
}
