//! What lies on a system's disk, before a package is there and after.

use std::collections::BTreeSet;

use system_tests::Machine;

/// What changes on a system without any package's doing, or only for apt's and
/// its tools' own memory.
const NOT_THE_PACKAGE_S: &str = "/dev /home /proc /root /run /srv /sys /tmp \
    /var/cache /var/lib/apt /var/lib/logrotate /var/log /var/tmp";

/// All files that a package might have brought or made.
pub(crate) fn all(machine: &Machine) -> BTreeSet<String> {
    let listed = machine.server().shell(&format!(
        "prune=(); for folder in {NOT_THE_PACKAGE_S}; do
            prune+=(-path $folder -prune -o)
        done
        find / \"${{prune[@]}}\" -print"
    ));
    listed.lines().map(str::to_owned).collect()
}

/// Nothing is there that was not before, and nothing is gone. The system user
/// stays, as Debian wants it.
pub(crate) fn must_be_these(machine: &Machine, before: &BTreeSet<String>) {
    let after = all(machine);
    let left: Vec<&String> = after.difference(before).collect();
    let gone: Vec<&String> = before.difference(&after).collect();
    assert!(
        left.is_empty() && gone.is_empty(),
        "left: {left:#?}\ngone: {gone:#?}"
    );
}
