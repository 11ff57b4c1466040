//! A bill adds up: rows to the total, reports to the sessions they are made of,
//! in every format, for every size of bucket, in every zone.

use std::time::Duration;

use system_tests::{Answer, Machine, Row, Tolerance, must_agree, stands};

/// Whole hours, a quarter-hour, half-hours with and without summer time.
const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Kiritimati",
];

const BUCKETS: [&str; 5] = ["minute", "hour", "day", "month", "total"];

#[test]
fn every_report_sums_to_its_sessions() {
    if !stands("report_sums::every_report_sums_to_its_sessions") {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = Vec::new();
    for user in ["alice", "bob", "two words", r"DOM\carol", "zoë"] {
        visits.push(machine.client().visit(user).run("head -c 50000 /dev/zero"));
        visits.push(machine.client().visit(user).send(30_000, "cat >/dev/null"));
        visits.push(machine.client().visit("alice").fail());
    }
    // Across a minute's end, so that one session has entries in two minutes.
    let long = machine.client().visit("bob").open(
        &[],
        Some("head -c 400000 /dev/zero; sleep $((61 - $(date +%-S))); head -c 200000 /dev/zero"),
    );
    std::thread::sleep(Duration::from_secs(1));
    visits.push(long.finish());
    let (answer, _) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    for zone in ZONES {
        for period in [&["--since", "-1d"][..], &["--since", "2020-01-01"], &[]] {
            for all in [&[][..], &["--all"]] {
                let flags = [period, all, &["--tz", zone]].concat();
                reports_agree(&answer, &flags);
            }
        }
    }
}

fn reports_agree(answer: &Answer, flags: &[&str]) {
    let listed = sessions_sum(answer, flags);
    for bucket in BUCKETS {
        let flags = [flags, &["--per", bucket]].concat();
        let report = answer.report(&flags);
        let told = format!("{flags:?}");
        assert_eq!(sum(&report.rows), figures(&report.total), "{told}");
        if flags.contains(&"--since") {
            assert_eq!(figures(&report.total), listed, "{told}");
        }
        let csv = answer.text(&[&["report", "--format", "csv"], &flags[..]].concat());
        assert_eq!(csv_sum(&csv), figures(&report.total), "{told}\n{csv}");
        let table = answer.text(&[&["report"], &flags[..]].concat());
        for row in &report.rows {
            let user = row.user.as_deref().unwrap_or_default();
            // A name is data: a table may have to quote or escape it.
            let first = user.split(['\\', ' ']).next().unwrap_or_default();
            assert!(table.contains(first), "{user:?} is not in {told}\n{table}");
        }
    }
}

/// The sessions of the same period. Only asked where the period is given: the
/// commands' own default periods differ.
fn sessions_sum(answer: &Answer, flags: &[&str]) -> [u64; 4] {
    let text = answer.text(&[&["sessions", "--format", "json"], flags].concat());
    let rows: Vec<Row> = serde_json::from_str(&text).expect("sessions are JSON");
    let csv = answer.text(&[&["sessions", "--format", "csv"], flags].concat());
    assert_eq!(csv_sum(&csv), sum(&rows), "{flags:?}");
    sum(&rows)
}

fn figures(row: &Row) -> [u64; 4] {
    [row.wire_in, row.wire_out, row.payload_in, row.payload_out]
        .map(|figure| figure.expect("the socket meter knows every figure"))
}

fn sum(rows: &[Row]) -> [u64; 4] {
    rows.iter().map(figures).fold([0; 4], |mut sum, figures| {
        for (sum, figure) in sum.iter_mut().zip(figures) {
            *sum += figure;
        }
        sum
    })
}

/// The sums of the four columns of figures. They come last, after names that
/// may hold anything, so a line is read from its end.
fn csv_sum(csv: &str) -> [u64; 4] {
    let mut lines = csv.lines();
    let header = lines.next().expect("CSV has a header");
    assert!(
        header.ends_with("in,out,payload_in,payload_out"),
        "{header}"
    );
    let mut sums = [0; 4];
    for line in lines {
        let mut fields: Vec<&str> = line.rsplitn(5, ',').take(4).collect();
        fields.reverse();
        for (sum, field) in sums.iter_mut().zip(fields) {
            *sum += field.parse::<u64>().expect("a plain number");
        }
    }
    sums
}
