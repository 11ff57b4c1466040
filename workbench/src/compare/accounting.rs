//! systemd's IPAccounting, of the service and of each user's slice: a slice counts
//! until its user's last session ends, and here they all have one to the end.

use anyhow::{Context as _, Result, ensure};
use system_tests::Machine;

use super::{USERS, told::Told};

/// Switches it on.
pub(super) fn start(machine: &Machine) {
    machine.server().shell(
        "mkdir -p /etc/systemd/system/user-.slice.d
        printf '[Slice]\\nIPAccounting=yes\\n' >/etc/systemd/system/user-.slice.d/ip.conf
        systemctl daemon-reload
        systemctl set-property --runtime ssh.service IPAccounting=yes",
    );
}

/// What the service counts, and what the users' slices do.
pub(super) fn told(machine: &Machine) -> Result<(Told, Told)> {
    let service = bytes(machine, "ssh.service")?;
    let users = USERS.into_iter().map(|user| {
        let uid = machine.server().run("id", &["-u", user]);
        let slice = format!("user-{}.slice", uid.trim());
        Ok((user.to_owned(), bytes(machine, &slice)?))
    });
    Ok((
        Told::as_a_whole("systemd, `ssh.service`", service),
        Told::by_user("systemd, users' slices", users.collect::<Result<_>>()?),
    ))
}

fn bytes(machine: &Machine, unit: &str) -> Result<u64> {
    let asked = ["show", "--property=IPIngressBytes,IPEgressBytes", unit];
    let said = machine.server().run("systemctl", &asked);
    let (count, sum) = sum(&said).with_context(|| format!("{unit} counts nothing: {said}"))?;
    ensure!(count == 2, "{unit} has not both ways: {said}");
    Ok(sum)
}

/// How many figures there are in lines `NAME=FIGURE`, and their sum.
fn sum(said: &str) -> Option<(usize, u64)> {
    let figures = said
        .lines()
        .map(|line| line.split_once('=')?.1.parse().ok());
    let figures: Vec<u64> = figures.collect::<Option<_>>()?;
    Some((figures.len(), figures.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_added_up() {
        let said = "IPIngressBytes=1200\nIPEgressBytes=34\n";
        assert_eq!(sum(said), Some((2, 1_234)));
        assert_eq!(sum("IPIngressBytes=[no data]\nIPEgressBytes=34\n"), None);
    }
}
