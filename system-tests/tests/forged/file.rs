//! What can be written into a log file: anything, by any user, as rsyslogd takes
//! it from whoever has the socket.

use std::{process::Stdio, thread::sleep, time::Duration};

use rustix::process::Signal;
use system_tests::wait_for;

use crate::stage::{
    ANOTHER_KEY, CONTRADICTION, DENIED, DISPUTED, ELSEWHERE, FORGER, GOES_ON, Kind, LOGGED_IN,
    NO_CONNECTION, NO_LOGIN, OTHER, STRANGER, Stage, VICTIM, accepted,
};

/// A pid that nobody has.
const NOBODYS: u32 = 4_000_000;

/// A moment in which the daemon hears a line.
const MOMENT: Duration = Duration::from_millis(400);

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "a login from an address nobody has",
        story: |stage| {
            let stranger = stage.stranger();
            stage.forge(NOBODYS, &accepted(VICTIM, stranger.address, 40000));
            stage.tried(&[NO_CONNECTION]);
        },
    },
    Kind {
        name: "an end of another's session that goes on",
        story: |stage| {
            let (visit, port) = stage.enter(VICTIM, 45);
            let address = visit.address;
            let words = format!("Received disconnect from {address} port {port}:11: forged");
            stage.forge(NOBODYS, &words);
            stage.tried(&[GOES_ON]);
            stage.is_known(visit);
        },
    },
    Kind {
        name: "another's name for one's own connection, before one's own login",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(NOBODYS, &accepted(VICTIM, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "another's name for one's own connection, after one's own login",
        story: |stage| {
            let (visit, port) = stage.enter(FORGER, 2);
            stage.forge(NOBODYS, &accepted(VICTIM, visit.address, port));
            stage.is_known(visit);
            stage.tried(&[CONTRADICTION, DENIED]);
        },
    },
    Kind {
        name: "a user nobody knows, for one's own connection",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(NOBODYS, &accepted("ghost", held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "sshd's own user, before the login",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(NOBODYS, &accepted("sshd", held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "root, for one's own connection",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(NOBODYS, &accepted("root", held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "another's name for root's connection, which has no session",
        story: |stage| {
            let open = stage.machine.client().visit("root").open(&["-N"], None);
            let visit = open.visit.clone();
            stage.wait_until_named(&visit, "root");
            stage.forge(
                NOBODYS,
                &accepted(VICTIM, visit.address, stage.port_of(visit.address)),
            );
            sleep(MOMENT);
            stage.is_known(open.close());
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "a login where nobody ever logs in, held open",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(NOBODYS, &accepted(VICTIM, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_nobody(held.give_up());
            stage.tried(&[NO_LOGIN]);
        },
    },
    Kind {
        name: "a login where nobody logged in, over already",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let (address, port) = (held.visit.address, held.port);
            stage.is_nobody(held.give_up());
            stage.forge(NOBODYS, &accepted(VICTIM, address, port));
            stage.tried(&[NO_LOGIN]);
        },
    },
    Kind {
        name: "a login on a connection that only called",
        story: |stage| {
            let visit = stage.stranger();
            let port = stage.call(visit.address, "");
            stage.forge(NOBODYS, &accepted(VICTIM, visit.address, port));
            stage.is_nobody(visit);
            stage.tried(&[NO_LOGIN]);
        },
    },
    Kind {
        name: "one's own name for another's connection, before his login",
        story: |stage| {
            let held = stage.hold(VICTIM, &[]);
            stage.forge(NOBODYS, &accepted(FORGER, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "a third name for another's session",
        story: |stage| {
            let (visit, port) = stage.enter(VICTIM, 2);
            stage.forge(NOBODYS, &accepted(OTHER, visit.address, port));
            stage.is_known(visit);
            stage.tried(&[CONTRADICTION, DENIED]);
        },
    },
    Kind {
        name: "with the pid of one's own true monitor",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let monitor = stage.monitor_of(held.visit.address);
            stage.forge(monitor, &accepted(VICTIM, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "with the pid of another's monitor",
        story: |stage| {
            let (other, _) = stage.enter(VICTIM, 3);
            let held = stage.hold(FORGER, &[]);
            let monitor = stage.monitor_of(other.address);
            stage.forge(monitor, &accepted(VICTIM, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.is_known(other);
            stage.tried(&[ELSEWHERE]);
        },
    },
    Kind {
        name: "with the pid of the listener",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let listener = stage.machine.server().shell("cat /run/sshd.pid");
            let listener = listener.trim().parse().expect("a pid");
            stage.forge(listener, &accepted(VICTIM, held.visit.address, held.port));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[ELSEWHERE]);
        },
    },
    Kind {
        name: "with the pid of a process that is not sshd",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            stage.forge(1, &accepted(VICTIM, held.visit.address, held.port));
            stage.is_known(held.finish(stage));
            stage.tried(&[STRANGER]);
        },
    },
    Kind {
        name: "with the pid of one's own process called sshd, which listens",
        story: an_impostor,
    },
    Kind {
        name: "PAM's line with another's monitor, before his login",
        story: |stage| {
            let held = stage.hold(VICTIM, &[]);
            stage.forge(stage.monitor_of(held.visit.address), &pam_opened(FORGER));
            sleep(MOMENT);
            stage.is_known(held.finish(stage));
            stage.tried(&[DENIED, CONTRADICTION]);
        },
    },
    Kind {
        name: "PAM's line with another's monitor, after his login",
        story: |stage| {
            let (visit, _) = stage.enter(VICTIM, 2);
            stage.forge(stage.monitor_of(visit.address), &pam_opened(FORGER));
            stage.is_known(visit);
            stage.tried(&[CONTRADICTION, DENIED]);
        },
    },
    Kind {
        name: "sshd's word that nobody had logged in, of another's session",
        story: |stage| {
            let (visit, port) = stage.enter(VICTIM, 2);
            for who in ["", "authenticating user alice "] {
                let address = visit.address;
                let words = format!("Connection closed by {who}{address} port {port} [preauth]");
                stage.forge(NOBODYS, &words);
                stage.tried(&[LOGGED_IN]);
            }
            stage.is_known(visit);
        },
    },
    Kind {
        name: "another user's goodbye on another's session",
        story: |stage| {
            let (visit, port) = stage.enter(VICTIM, 2);
            let address = visit.address;
            let words = format!("Disconnected from user {FORGER} {address} port {port}");
            stage.forge(NOBODYS, &words);
            stage.is_known(visit);
            stage.tried(&[CONTRADICTION]);
        },
    },
    Kind {
        name: "another key for one's own login",
        story: |stage| {
            let (visit, port) = stage.enter(FORGER, 2);
            let key = "A".repeat(43);
            let words = accepted(FORGER, visit.address, port);
            let words = words.replace("password", "publickey");
            stage.forge(NOBODYS, &format!("{words}: ED25519 SHA256:{key}"));
            stage.is_known(visit);
            stage.tried(&[ANOTHER_KEY]);
        },
    },
    Kind {
        name: "another's name for one's own session that is over in a blink",
        story: |stage| {
            for _ in 0..3 {
                let visit = stage.machine.client().visit(FORGER);
                let relayed = visit.told("echo $SSH_CONNECTION");
                let port = relayed
                    .1
                    .split(' ')
                    .nth(1)
                    .and_then(|port| port.parse().ok());
                let port = port.expect("a port");
                stage.wait_until_gone(relayed.0.address);
                stage.forge(NOBODYS, &accepted(VICTIM, relayed.0.address, port));
                stage.may_be_nobody(relayed.0);
                stage.tried(&[DISPUTED, CONTRADICTION]);
            }
        },
    },
    Kind {
        name: "a line that stops short",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let whole = accepted(VICTIM, held.visit.address, held.port);
            for end in ["ssh2", " ssh2"] {
                let cut = whole.strip_suffix(end).expect("it ends so");
                stage.forge(NOBODYS, cut);
                stage.tried(&[]);
            }
            stage.is_known(held.finish(stage));
        },
    },
    Kind {
        name: "a line of another year",
        story: |stage| {
            let (visit, port) = stage.enter(FORGER, 2);
            let words = accepted(VICTIM, visit.address, port);
            stage.forge_raw(format!("<38>Jan  1 00:00:00 sshd[{NOBODYS}]: {words}").as_bytes());
            stage.is_known(visit);
            stage.tried(&[CONTRADICTION, DENIED]);
        },
    },
    Kind {
        name: "a second line within one message",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted(VICTIM, held.visit.address, held.port);
            let both = format!("<38>x: y\n2026-11-22T10:00:00Z host sshd[{NOBODYS}]: {words}");
            stage.forge_raw(both.as_bytes());
            stage.tried(&[]);
            stage.is_known(held.finish(stage));
        },
    },
    Kind {
        name: "a login as the user name of a failed one, with newline and colours",
        story: hostile_names,
    },
    Kind {
        name: "a login as the client's version",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted(VICTIM, held.visit.address, held.port);
            for version in [&format!("{words}\r\n"), &format!("SSH-2.0-{words}\r\n")] {
                let visit = stage.stranger();
                stage.call(visit.address, version);
                stage.is_nobody(visit);
                stage.tried(&[]);
            }
            stage.is_known(held.finish(stage));
        },
    },
];

fn pam_opened(user: &str) -> String {
    format!("pam_unix(sshd:session): session opened for user {user}(uid=2002) by (uid=0)")
}

/// A user's own program by sshd's name: its pid vouches for nothing, and what it
/// listens on is nobody's business, but for the doctor's.
fn an_impostor(stage: &Stage<'_>) {
    const LISTEN: &str = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 3333,
        Listen => 5, ReuseAddr => 1) or die; $| = 1; sleep 60";
    let server = stage.machine.server();
    server.shell("cp /usr/bin/perl /tmp/sshd; chmod 755 /tmp/sshd");
    let mut command = server.command("setpriv");
    command.args([
        "--reuid=2002",
        "--regid=2002",
        "--clear-groups",
        "/tmp/sshd",
        "-e",
        LISTEN,
    ]);
    command.stdin(Stdio::null());
    let impostor = server.spawn(&mut command, "a process called sshd");
    stage.machine.wait_for_port(3333);
    let pid = server.shell("pgrep -u 2002 -x sshd");
    let held = stage.hold(FORGER, &[]);
    let pid = pid.trim().parse().expect("a pid");
    stage.forge(pid, &accepted(VICTIM, held.visit.address, held.port));
    stage.is_known(held.finish(stage));
    stage.tried(&[STRANGER]);
    let told = stage.daemon.ask().output(&["doctor"]).stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("a process of bob's that is called sshd listens on 3333: not counted"),
        "{told}"
    );
    impostor.signal(Signal::KILL);
    wait_for("the impostor's end", Duration::from_secs(5), || {
        let left = server.output("pgrep", &["-u", "2002", "-x", "sshd"]);
        (!left.status.success()).then_some(())
    });
}

fn hostile_names(stage: &Stage<'_>) {
    let held = stage.hold(FORGER, &[]);
    let words = accepted(VICTIM, held.visit.address, held.port);
    let names = [
        format!("x\n{words}"),
        format!("x from 10.78.0.1 port 1 ssh2\u{1b}[2K\r{words}"),
        words,
    ];
    for name in names {
        let visit = stage.stranger();
        stage.fail_as(&name, &visit);
        stage.is_nobody(visit);
        stage.tried(&[]);
    }
    stage.is_known(held.finish(stage));
}
