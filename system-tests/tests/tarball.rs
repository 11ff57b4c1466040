//! The static release, installed by its install.sh: on a Linux that has neither
//! systemd nor a C library, run by busybox's init, with dropbear's log in
//! /var/log/messages and no service manager that would keep descriptors; and on one
//! with systemd, as a service.

use std::{process::Output, time::Duration};

use system_tests::{
    Busybox, Capture, Family, Log, Machine, OpenVisit, Tolerance, Visit, boots, has_release,
    must_agree, release, stands_on_busybox, wait_for,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// One machine for all, since nothing of it is slow but its start.
#[test]
fn on_busybox_it_counts_is_upgraded_and_removed() {
    let name = "tarball::on_busybox_it_counts_is_upgraded_and_removed";
    if !stands_on_busybox(name) {
        return;
    }
    let machine = Machine::builder().log(Log::Nobody).without_sshd().start();
    let system = Busybox::boot(&machine);
    install_sh_refuses_what_it_cannot_do(&system);
    anybody_installs_below_another_root(&system);
    it_is_installed(&system);
    let capture = machine.capture();
    system.add_to_inittab();
    let mut visits = people_at_work(&machine);
    let steady = steady(&machine);
    it_is_upgraded(&system);
    visits.extend(people_at_work(&machine));
    system.ask().settle(&visits);
    system.start_again_by("TERM");
    visits.extend(people_at_work(&machine));
    system.ask().settle(&visits);
    system.start_again_by("KILL");
    visits.push(steady.finish());
    must_agree(&machine, capture, &system, &visits, Tolerance::Exact);
    what_ends_unseen_counts_to_its_last_reading(&machine, &system);
    it_is_removed(&system);
}

#[test]
fn with_systemd_it_is_a_service_and_an_upgrade_loses_nothing() {
    let name = "tarball::with_systemd_it_is_a_service_and_an_upgrade_loses_nothing";
    if !boots(name) || !has_release(name) {
        return;
    }
    let release = release();
    let folder = release.parent().expect("it lies in a folder");
    let machine = Machine::builder().booted().shared(folder, "/srv").start();
    let server = machine.server();
    server.shell("cd /root; tar -xzf /srv/sshmeter-*.tar.gz; mv sshmeter-*/ unpacked");
    let install_sh = |arguments: &[&str]| {
        let output = server.output("/root/unpacked/install.sh", arguments);
        let said = told(&output);
        assert!(output.status.success(), "{said}");
        said
    };
    let capture = machine.capture();
    let said = install_sh(&["--prefix", "/opt/sshmeter"]);
    assert!(said.contains("sshmeter.service runs"), "{said}");
    // Commands are looked for on the path.
    server.shell("ln -s /opt/sshmeter/bin/sshmeter /usr/bin/sshmeter");
    let service = machine.start_installed();
    let first = service.property("MainPID");
    let program = server.run("readlink", &[&format!("/proc/{first}/exe")]);
    assert_eq!(program.trim(), "/opt/sshmeter/bin/sshmeter");
    assert_ne!(service.status("Uid").split_whitespace().next(), Some("0"));
    let mut visits = people_at_work(&machine);
    let steady = steady(&machine);
    install_sh(&["--prefix", "/opt/sshmeter"]);
    assert_ne!(service.property("MainPID"), first);
    visits.extend(people_at_work(&machine));
    visits.push(steady.finish());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
    let elsewhere = server.output("/root/unpacked/install.sh", &["--uninstall"]);
    let said = told(&elsewhere);
    assert_eq!(elsewhere.status.code(), Some(1), "{said}");
    assert!(said.contains("starts /opt/sshmeter/bin/sshmeter"), "{said}");
    let said = install_sh(&["--prefix", "/opt/sshmeter", "--uninstall"]);
    assert!(said.contains("sshmeter is removed"), "{said}");
    let left = server.shell(
        "find /opt/sshmeter -type f; ls /var/lib/sshmeter
        systemctl list-unit-files sshmeter.service || true",
    );
    assert!(!left.contains("/opt/sshmeter/"), "{left}");
    assert!(!left.contains("sshmeter.service"), "{left}");
    assert!(left.contains("ledger.db"), "{left}");
    server.shell("touch /lib/systemd/system/sshmeter.service");
    let beside_a_package = server.output("/root/unpacked/install.sh", &[]);
    let said = told(&beside_a_package);
    assert_eq!(beside_a_package.status.code(), Some(1), "{said}");
    assert!(said.contains("here already, by a package"), "{said}");
}

fn install_sh_refuses_what_it_cannot_do(system: &Busybox) {
    for (arguments, words) in [
        ("--frefix=/opt", "there is no option --frefix=/opt"),
        ("--prefix", "the prefix \"\" is not a plain absolute path"),
        ("--prefix /home/me", "no service can be run below /home/me"),
    ] {
        let output = system.install_sh(arguments);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("error: {words}")), "{said}");
        assert!(said.contains("\nhint: "), "{said}");
    }
    let as_nobody = system.shell(
        "chmod 755 /root; cd /root/sshmeter-*/; \
         su -s /bin/sh alice -c ./install.sh 2>&1 || echo $?",
    );
    assert!(as_nobody.contains("only root can install"), "{as_nobody}");
    assert!(as_nobody.ends_with("\n1\n"), "{as_nobody}");
}

/// As those do who build packages: nothing of the system's is touched, and whoever's
/// umask it was, everybody can read what is installed.
fn anybody_installs_below_another_root(system: &Busybox) {
    system.shell(
        "su -s /bin/sh alice -c 'cd /tmp; umask 077; DESTDIR=root /root/sshmeter-*/install.sh'
        cd /tmp/root; [ $(stat -c %a usr/local/bin) = 755 ]; [ -x usr/local/bin/sshmeter ]; [ -s etc/sysusers.d/sshmeter.conf ]
        grep -q '^ExecStart=/usr/local/bin/sshmeter run$' etc/systemd/system/sshmeter.service
        grep -q '^#path = \"auto\"' etc/sshmeter/config.toml
        [ ! -e /etc/sshmeter ]; [ ! -e /usr/local/bin ]",
    );
}

fn it_is_installed(system: &Busybox) {
    let output = system.install_sh("");
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    let how = "::respawn:/usr/local/bin/sshmeter run";
    assert!(said.contains(how), "{said}");
    system.shell(
        "cd /usr/local/share
        for file in man/man1/sshmeter.1 man/man1/sshmeter-run.1 man/man5/sshmeter.toml.5 \
            bash-completion/completions/sshmeter zsh/site-functions/_sshmeter \
            fish/vendor_completions.d/sshmeter.fish doc/sshmeter/LICENSE-MIT \
            doc/sshmeter/copyright doc/sshmeter/docs/install.md; do
            [ -s $file ] || { echo $file is missing; exit 1; }
        done
        grep -q '^path = \"/var/log/messages\"' /etc/sshmeter/config.toml
        [ ! -e /etc/systemd ]
        sshmeter check-config >/dev/null
        [ ! -e /usr/share/zoneinfo ]
        sshmeter parse --tz Asia/Kathmandu /var/log/messages >/dev/null",
    );
}

fn people_at_work(machine: &Machine) -> Vec<Visit> {
    let mut visits = Vec::new();
    for family in [Family::V4, Family::V6] {
        let visit = |user| machine.client().visit(user).over(family);
        visits.extend([
            visit("alice").run("head -c 300000 /dev/zero"),
            visit("bob").send(200_000, "cat >/dev/null"),
            visit("carol").run("true"),
        ]);
    }
    visits
}

/// A session that moves something before and after whatever happens meanwhile.
fn steady(machine: &Machine) -> OpenVisit {
    let command = "head -c 100000 /dev/zero; cat; head -c 100000 /dev/zero";
    machine.client().visit("carol").open(&[], Some(command))
}

/// The program is another, the config is the administrator's, and what runs runs on.
fn it_is_upgraded(system: &Busybox) {
    let old = system.id();
    let program = "stat -c %i /usr/local/bin/sshmeter";
    let before = system.shell(program);
    system.shell("echo '# mine' >>/etc/sshmeter/config.toml");
    let output = system.install_sh("");
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("config.toml stays as it is"), "{said}");
    assert!(said.contains("goes on as it is"), "{said}");
    assert_ne!(before, system.shell(program));
    assert_eq!(old, system.id(), "it was not left running");
    system.shell("tail -n 1 /etc/sshmeter/config.toml | grep -q mine");
}

/// The docs' word: with nobody who keeps descriptors, a connection that ends while
/// no daemon runs counts at its last reading, and one that begins too is not seen.
fn what_ends_unseen_counts_to_its_last_reading(machine: &Machine, system: &Busybox) {
    let capture: Capture = machine.capture();
    system.add_to_inittab();
    let begun = steady(machine);
    let peer = begun.visit.address;
    let session = || {
        let sessions = system.ask().sessions();
        let mut from_there = sessions.into_iter().filter(move |one| one.peer.ip == peer);
        from_there.next()
    };
    wait_for("its first half", PATIENCE, || {
        session().filter(|one| one.payload_out > Some(100_000))
    });
    system.take_out_of_inittab();
    let read = session().expect("it is in the ledger");
    let began_unseen = machine.client().visit("bob").run("true");
    drop(begun.finish());
    machine.wait_until_quiet();
    system.add_to_inittab();
    let now = wait_for("its end", PATIENCE, || {
        session().filter(|one| one.closed.is_some())
    });
    assert_eq!(now.reason.as_deref(), Some("unseen"));
    assert_eq!(now.user, "carol");
    assert_eq!(
        (now.wire_in, now.wire_out, now.payload_out),
        (read.wire_in, read.wire_out, read.payload_out)
    );
    let truth = capture.finish();
    let crossed = truth.from(peer).payload.outbound;
    assert!(now.payload_out < Some(crossed), "{crossed}");
    assert!(now.payload_out > Some(100_000), "{now:?}");
    let seen = system.ask().sessions();
    assert!(seen.iter().all(|one| one.peer.ip != began_unseen.address));
}

fn it_is_removed(system: &Busybox) {
    let output = system.install_sh("--uninstall");
    let said = told(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("sshmeter still runs"), "{said}");
    system.take_out_of_inittab();
    let left = system.shell("find /usr/local -type f; ls /etc/sshmeter /var/lib/sshmeter");
    assert!(!left.contains("/usr/local"), "{left}");
    assert!(left.contains("config.toml"), "{left}");
    assert!(left.contains("ledger.db"), "{left}");
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
