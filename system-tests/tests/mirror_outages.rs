//! Whatever breaks between hosts and their database server: afterwards the server
//! has what the ledgers have, row by row. `cargo xtask outage` is the random part
//! for as long as you like.

use system_tests::{
    Backend,
    outage::{self, KILLS, Plan, SEED},
};

/// Kills of the ordinary run, over each server with one host and with twenty.
const FEW: u64 = 2;

#[test]
fn broken_at_random_with_one_host_over_mariadb() {
    at_random(Backend::MariaDb, 1);
}

#[test]
fn broken_at_random_with_one_host_over_postgres() {
    at_random(Backend::Postgres, 1);
}

#[test]
fn broken_at_random_with_twenty_hosts_over_mariadb() {
    at_random(Backend::MariaDb, 20);
}

#[test]
fn broken_at_random_with_twenty_hosts_over_postgres() {
    at_random(Backend::Postgres, 20);
}

#[test]
fn broken_at_random_with_twenty_hosts_over_mysql() {
    at_random(Backend::MySql, 20);
}

fn at_random(backend: Backend, hosts: usize) {
    if !backend.stands(&format!("broken_at_random with {hosts} hosts")) {
        return;
    }
    let seed = outage::seed();
    println!("{SEED}={seed}");
    let score = outage::run(Plan {
        backend,
        hosts,
        kills: outage::number(KILLS).unwrap_or(FEW),
        seed,
    });
    println!("{backend:?}, {hosts} hosts: {score}");
    assert!(score.holds(), "{score}:\n{}", score.faults.join("\n"));
}
