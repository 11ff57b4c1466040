//! The Debian package, as `cargo xtask deb` makes it: what is in it, what lintian
//! says of it, and what apt makes of it, on a machine that systemd runs and in a
//! folder that will be one.

mod content;

use system_tests::{
    Apt, Machine, Service, Tolerance, boots, must_agree, package, stands, wait_for,
};

/// Where the unit is, once it is installed.
const UNIT: &str = "/lib/systemd/system/sshmeter.service";

#[test]
fn from_its_installation_to_its_purge_it_counts_and_leaves_nothing() {
    let name = "package::from_its_installation_to_its_purge_it_counts_and_leaves_nothing";
    let Some(package) = package(name).filter(|_| boots(name)) else {
        return;
    };
    let apt = Apt::with(&package);
    let (folder, place) = apt.folder();
    let machine = Machine::builder().booted().shared(folder, place).start();
    let capture = machine.capture();
    apt.install(&machine);
    let service = machine.installed();
    it_runs_and_will_run(&service);
    let over_all = machine
        .client()
        .visit("alice")
        .open(&[], Some("read line; head -c 100000 /dev/zero"));

    let before = service.property("MainPID");
    let mut visits = apt.upgrade(&machine);
    assert_ne!(service.property("MainPID"), before, "not restarted");
    it_runs_and_will_run(&service);
    service.ask().settle(&visits);

    apt.remove(&machine);
    it_is_stopped_and_its_ledger_kept(&machine, &service);
    apt.install(&machine);
    it_runs_and_will_run(&service);
    visits.push(machine.client().visit("carol").run("true"));
    visits.push(over_all.finish());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);

    counts_at_the_firewall(&machine);
    apt.purge(&machine);
    nothing_is_left(&machine);
}

#[test]
fn in_a_folder_that_will_be_a_system_it_is_installed_and_not_started() {
    let name = "package::in_a_folder_that_will_be_a_system_it_is_installed_and_not_started";
    let Some(package) = package(name).filter(|_| stands(name)) else {
        return;
    };
    let apt = Apt::with(&package);
    let (folder, place) = apt.folder();
    let machine = Machine::builder()
        .without_sshd()
        .shared(folder, place)
        .start();
    // The program that other tests run is not installed here.
    machine
        .server()
        .shell("umount /usr/bin/sshmeter; rm /usr/bin/sshmeter");
    apt.install(&machine);
    machine.server().shell(
        "[ -L /etc/systemd/system/multi-user.target.wants/sshmeter.service ]
        getent passwd sshmeter; ! pgrep -x sshmeter",
    );
    apt.purge(&machine);
    nothing_is_left(&machine);
}

fn it_runs_and_will_run(service: &Service<'_>) {
    service.wait_until_active();
    assert_eq!(service.property("UnitFileState"), "enabled");
    assert_eq!(service.property("FragmentPath"), UNIT);
    let words = service.words();
    assert!(!words.contains("warning"), "{words}");
}

fn it_is_stopped_and_its_ledger_kept(machine: &Machine, service: &Service<'_>) {
    assert_eq!(service.property("ActiveState"), "inactive");
    machine.server().shell(
        "! pgrep -x sshmeter; ! command -v sshmeter
        [ -s /var/lib/sshmeter/ledger.db ]; [ -s /etc/sshmeter/config.toml ]",
    );
}

/// As docs/meters.md says it is set up, from the package's own example.
fn counts_at_the_firewall(machine: &Machine) {
    let server = machine.server();
    server.shell(
        "install -D -m 644 /usr/share/doc/sshmeter/examples/sshmeter-firewall.conf \
            /etc/systemd/system/sshmeter.service.d/firewall.conf
        printf '[meter]\\nkind = \"nftables\"\\n' >/etc/sshmeter/config.toml
        systemctl daemon-reload; systemctl start sshmeter",
    );
    let limit = std::time::Duration::from_secs(20);
    wait_for("the rules of sshmeter", limit, || {
        let list = server.output("nft", &["list", "table", "inet", "sshmeter"]);
        list.status.success().then_some(())
    });
}

fn nothing_is_left(machine: &Machine) {
    let server = machine.server();
    server.shell(
        "rm -rf /etc/systemd/system/sshmeter.service.d
        [ ! -e /var/lib/sshmeter ]; [ ! -e /etc/sshmeter ]",
    );
    let left = server
        .shell("find /etc /run /usr/bin /usr/lib /usr/share /var/lib /var/tmp -name '*sshmeter*'");
    assert_eq!(left, "", "files are left");
    let tables = server.run("nft", &["list", "tables"]);
    assert!(!tables.contains("sshmeter"), "{tables}");
    // The user stays, and nobody can log in as him.
    let user = server.run("getent", &["passwd", "sshmeter"]);
    assert!(user.trim().ends_with("/usr/sbin/nologin"), "{user}");
}
