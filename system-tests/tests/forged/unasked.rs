//! What is left where the kernel cannot tell whose a connection is: dropbear
//! serves every user as root. There the log alone has the word, and two of its
//! words against each other are none.

use std::{thread::sleep, time::Duration};

use system_tests::Machine;

use crate::stage::{DISPUTED, FORGER, Kind, NO_LOGIN, VICTIM, accepted_by_dropbear};

/// A pid that nobody has.
const NOBODYS: u32 = 4_000_000;

/// A moment in which the daemon hears a line.
const MOMENT: Duration = Duration::from_millis(600);

/// Starts dropbear in sshd's place.
pub(crate) fn start_dropbear(machine: &mut Machine) {
    machine.server().shell("mkdir -p /etc/dropbear");
    machine.start_service("dropbear", "/usr/sbin/dropbear", &["-F", "-R"]);
    machine.wait_for_port(22);
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "dropbear: another's name for one's own connection, before one's own login",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted_by_dropbear(VICTIM, held.visit.address, held.port);
            stage.forge_as("dropbear", NOBODYS, &words);
            sleep(MOMENT);
            stage.may_be_nobody(held.finish(stage));
            stage.tried(&[DISPUTED]);
        },
    },
    Kind {
        name: "dropbear: another's name for one's own connection, after one's own login",
        story: |stage| {
            let (visit, port) = stage.enter(FORGER, 2);
            let words = accepted_by_dropbear(VICTIM, visit.address, port);
            stage.forge_as("dropbear", NOBODYS, &words);
            stage.may_be_nobody(visit);
            stage.tried(&[DISPUTED]);
        },
    },
    Kind {
        name: "dropbear: a login where nobody ever logs in, held open",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let words = accepted_by_dropbear(VICTIM, held.visit.address, held.port);
            stage.forge_as("dropbear", NOBODYS, &words);
            sleep(MOMENT);
            stage.is_nobody(held.give_up());
            stage.tried(&[NO_LOGIN]);
        },
    },
    Kind {
        name: "dropbear: a login where nobody logged in, over already",
        story: |stage| {
            let held = stage.hold(FORGER, &[]);
            let (address, port) = (held.visit.address, held.port);
            stage.is_nobody(held.give_up());
            stage.wait_until_gone(address);
            stage.forge_as(
                "dropbear",
                NOBODYS,
                &accepted_by_dropbear(VICTIM, address, port),
            );
            stage.tried(&[NO_LOGIN]);
        },
    },
];
