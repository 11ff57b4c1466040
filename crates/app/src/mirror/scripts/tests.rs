//! What rows are taken for, whoever wrote them.

use super::{gather::Gatherer, tables, *};
use sshmeter_core::units::{Flow, Minute};

const NOW: i64 = 1_795_600_000;
/// 30 minutes past an hour of UTC: an hour begins there in India.
const HOUR: i64 = 1_795_343_400;

fn wire(inbound: u64, outbound: u64) -> Flow {
    Flow { inbound, outbound }
}

fn row(kind: i64, at: i64, user: &str, figures: [i64; 2]) -> Vec<Value> {
    let pid = if kind == 1 {
        Value::Null
    } else {
        Value::Integer(7)
    };
    let hour = HOUR + (at - HOUR).div_euclid(3600) * 3600;
    [hour, kind, at]
        .map(Value::Integer)
        .into_iter()
        .chain([Value::Text(user.to_owned()), pid])
        .chain(figures.map(Value::Integer))
        .collect()
}

fn gathered(folds_case: bool, rows: &[Vec<Value>]) -> (Vec<Vec<Imported>>, Totals) {
    let now = Timestamp::from_second(NOW).unwrap();
    let mut gatherer = Gatherer::new(now, folds_case);
    let mut chunks: Vec<_> = rows.iter().filter_map(|row| gatherer.add(row)).collect();
    chunks.push(gatherer.finish());
    (chunks, gatherer.totals())
}

#[test]
fn what_cannot_be_true_is_left_out_and_counted() {
    let mut nameless = row(0, HOUR, "", [1, 1]);
    let mut unknown = row(0, HOUR, "alice", [1, 1]);
    unknown[5] = Value::Null;
    let mut no_process = row(0, HOUR + 60, "alice", [1, 2]);
    no_process[4] = Value::Integer(-1);
    let rows = vec![
        row(1, 0, "alice", [1, 1]),
        row(0, NOW + 90_000, "alice", [1, 1]),
        std::mem::take(&mut nameless),
        unknown,
        row(0, HOUR, "alice", [-1, 1]),
        no_process,
        row(1, HOUR + 3_600, "bob", [10, 20]),
    ];
    let (chunks, totals) = gathered(false, &rows);
    let left_out = LeftOut {
        times: 2,
        figures: 2,
        nameless: 1,
        folding: 0,
    };
    let minute = Minute(HOUR / 60);
    assert_eq!(
        totals,
        Totals {
            rows: 7,
            users: 2,
            bytes: wire(11, 22),
            period: Some((Minute(minute.0 + 1), Minute(minute.0 + 60))),
            left_out,
        }
    );
    let [alice, bob] = chunks.concat().try_into().unwrap();
    assert_eq!((alice.pid, alice.hour), (None, minute));
    assert_eq!(
        (bob.minute, bob.hour),
        (Minute(minute.0 + 60), Minute(minute.0 + 60))
    );
}

#[test]
fn minutes_that_may_be_folded_already_wait() {
    let bytes = |rows: Vec<_>| {
        let (chunks, totals) = gathered(false, &rows);
        let taken = chunks.concat();
        let sum = taken.iter().fold(wire(0, 0), |sum, it| sum.plus(it.wire));
        assert_eq!(sum, totals.bytes);
        (sum, totals.left_out.folding)
    };
    // Between the two steps.
    let both = vec![
        row(1, HOUR, "alice", [30, 3]),
        row(0, HOUR, "alice", [10, 1]),
        row(0, HOUR + 60, "alice", [20, 2]),
        row(0, HOUR + 60, "bob", [5, 5]),
    ];
    assert_eq!(bytes(both), (wire(35, 8), 2));
    // More than the hour: it cannot be in there.
    let late = vec![
        row(1, HOUR, "alice", [30, 3]),
        row(0, HOUR, "alice", [10, 4]),
    ];
    assert_eq!(bytes(late), (wire(40, 7), 0));
}

#[test]
fn an_hour_is_never_cut() {
    let mut rows = Vec::new();
    for hour in 0..3 {
        for number in 0..7_000 {
            rows.push(row(
                0,
                HOUR + hour * 3_600 + number % 3_600,
                "alice",
                [1, 0],
            ));
        }
    }
    let (chunks, totals) = gathered(false, &rows);
    let sizes: Vec<_> = chunks.iter().map(Vec::len).collect();
    assert_eq!(sizes, [14_000, 7_000]);
    assert_eq!(totals.bytes, wire(21_000, 0));
}

#[test]
fn who_is_one_user_to_the_scripts_is_counted_as_one() {
    let rows = || vec![row(0, HOUR, "Bob", [1, 0]), row(0, HOUR, "bob ", [1, 0])];
    let names = |folds_case| {
        let (chunks, _) = gathered(folds_case, &rows());
        let amounts = chunks.concat();
        let names = amounts.iter().map(|it| it.counted_as.as_str().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(true), ["bob", "bob"]);
    assert_eq!(names(false), ["Bob", "bob "]);
}

#[test]
fn tables_are_known_by_their_columns() {
    let columns = |kind: &str, without: &str, collation: &str| {
        let columns = [
            ("minute", "time"),
            ("minute", "user"),
            ("minute", "pid"),
            ("minute", "in"),
            ("minute", "out"),
            ("hour", "time"),
            ("hour", "user"),
            ("hour", "in"),
            ("hour", "out"),
        ];
        let columns = columns.into_iter().map(|(table, column)| {
            [table, kind, column, collation].map(|text| Value::Text(text.to_owned()))
        });
        let columns = columns.map(Vec::from);
        let wanted = |row: &Vec<Value>| !row.contains(&Value::Text(without.to_owned()));
        columns.filter(wanted).collect::<Vec<_>>()
    };
    let checked = |kind, without, collation| {
        let checked = tables::check("sshaccount", &columns(kind, without, collation));
        checked.map(|it| it.folds_case).map_err(|it| it.to_string())
    };
    assert_eq!(
        checked("BASE TABLE", "nothing", "latin1_swedish_ci"),
        Ok(true)
    );
    assert_eq!(checked("BASE TABLE", "nothing", "utf8mb4_bin"), Ok(false));
    let says = |kind, without, words: &str| {
        let said = checked(kind, without, "utf8mb4_bin").unwrap_err();
        assert!(said.contains(words), "{said}");
    };
    says(
        "VIEW",
        "nothing",
        "`minute` in the database sshaccount is a view",
    );
    says("BASE TABLE", "hour", "no table `hour`");
    says("BASE TABLE", "pid", "has no column `pid`");
}
