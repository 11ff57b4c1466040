//! What can be put into the journal: any text, but none of what journald adds of
//! its own about the writer.

use std::{process::Stdio, thread::sleep, time::Duration};

use rustix::process::Signal;
use system_tests::Machine;

use crate::stage::{FORGER, Kind, NOT_ROOTS, Stage, VICTIM, accepted};

/// A second sshd listens here, and writes its log to its stderr.
pub(crate) const ANOTHER_PORT: u16 = 5022;

/// A user's own sshd listens here.
const OWN_PORT: u16 = 4022;

/// A moment in which the daemon hears a line.
const MOMENT: Duration = Duration::from_millis(400);

/// Starts the machine's sshd, and one whose stderr a service manager would put
/// into the journal.
pub(crate) fn start_sshds(machine: &mut Machine) {
    machine.start_service("sshd", "/usr/sbin/sshd", &["-D", "-p", "22"]);
    let to_the_journal =
        format!("exec 2> >(exec systemd-cat -t sshd); exec /usr/sbin/sshd -D -e -p {ANOTHER_PORT}");
    machine.start_service("sshd-e", "/bin/bash", &["-c", &to_the_journal]);
    machine.wait_for_port(22);
    machine.wait_for_port(ANOTHER_PORT);
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "logger",
        story: |stage| {
            in_the_forger_s_hands(stage, |words, _| {
                format!("logger -p auth.info -t sshd '{words}'")
            });
        },
    },
    Kind {
        name: "logger with the pid of a true monitor",
        story: |stage| {
            in_the_forger_s_hands(stage, |words, monitor| {
                format!("logger -p auth.info -t sshd --id={monitor} '{words}'")
            });
        },
    },
    Kind {
        name: "systemd-cat",
        story: |stage| {
            in_the_forger_s_hands(stage, |words, _| {
                format!("echo '{words}' | systemd-cat -t sshd -p info")
            });
        },
    },
    Kind {
        name: "journald's own socket, with its trusted fields",
        story: |stage| {
            in_the_forger_s_hands(stage, |words, monitor| {
                format!(
                    "printf 'SYSLOG_IDENTIFIER=sshd\nMESSAGE={words}\n_UID=0\n_PID={monitor}\n\
                     _TRANSPORT=syslog\n_EXE=/usr/sbin/sshd\n' | logger --journald"
                )
            });
        },
    },
    Kind {
        name: "a program called sshd",
        story: |stage| {
            in_the_forger_s_hands(stage, |words, _| {
                format!(
                    "cp /usr/bin/logger /tmp/sshd; /tmp/sshd -p auth.info -t sshd '{words}'; \
                     rm /tmp/sshd"
                )
            });
        },
    },
    Kind {
        name: "a user's own sshd with true lines of its own",
        story: a_user_s_own_sshd,
    },
    Kind {
        name: "sshd -e in a service, with a newline in a failed login's name",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted(VICTIM, held.visit.address, held.port);
            let visit = stage.stranger();
            stage.fail_at(ANOTHER_PORT, &format!("x\n{words}"), &visit);
            sleep(MOMENT);
            stage.is_nobody(visit);
            stage.is_known(held.finish(stage));
            stage.tried(&[NOT_ROOTS]);
        },
    },
    Kind {
        name: "a login as the user name of a failed one",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted(VICTIM, held.visit.address, held.port);
            for name in [format!("x\n{words}"), format!("\u{1b}[2K\r{words}")] {
                let visit = stage.stranger();
                stage.fail_at(22, &name, &visit);
                stage.is_nobody(visit);
                stage.tried(&[]);
            }
            stage.is_known(held.finish(stage));
        },
    },
];

/// Forges a login for the forger's own connection before his own, and an end
/// of another's session.
fn in_the_forger_s_hands(stage: &Stage<'_>, command: impl Fn(&str, u32) -> String) {
    let (other, other_port) = stage.enter(VICTIM, 3);
    let held = stage.hold(FORGER, &[]);
    let denial = format!(
        "Connection closed by {} port {other_port} [preauth]",
        other.address
    );
    for words in [accepted(VICTIM, held.visit.address, held.port), denial] {
        let monitor = stage.monitor_of(other.address);
        let command = command(&words, monitor);
        let server = stage.machine.server();
        server.run("runuser", &["-u", FORGER, "--", "bash", "-c", &command]);
        stage.tried(&[NOT_ROOTS]);
    }
    sleep(MOMENT);
    stage.is_known(held.finish(stage));
    stage.is_known(other);
}

/// It lets in whom it likes and says what is true of it; its port is not counted.
fn a_user_s_own_sshd(stage: &Stage<'_>) {
    let server = stage.machine.server();
    server.shell(&format!(
        "cp /usr/sbin/sshd /home/2002/sshd; cd /home/2002
        ssh-keygen -q -t ed25519 -N '' -f host
        printf 'Port {OWN_PORT}\\nHostKey /home/2002/host\\nUsePAM no\\nPidFile none\\n' >config
        chown 2002:2002 sshd host config"
    ));
    let mut command = server.command("setpriv");
    command
        .args(["--reuid=2002", "--regid=2002", "--clear-groups"])
        .args(["/home/2002/sshd", "-D", "-f", "/home/2002/config"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let own = server.spawn(&mut command, "a user's own sshd");
    stage.machine.wait_for_port(OWN_PORT);
    stage
        .machine
        .client()
        .visit(FORGER)
        .port(OWN_PORT)
        .run("sleep 1");
    stage.tried(&[NOT_ROOTS]);
    own.signal(Signal::KILL);
}
