//! The hot paths by the instructions that they take, as many on a busy machine as on a
//! quiet one. SQLite's are among them, the kernel's are not. What they should come to
//! is in `counts.toml`.
#![expect(missing_docs, reason = "gungraun's macros make public items")]

use benches::{Work, commit::Commit, difference::Reading, line::Lines, netlink::Datagrams};
use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

/// Made before counting begins.
fn ready<W: Work>(make: fn() -> W) -> W {
    let mut work = make();
    work.prepare();
    work
}

#[library_benchmark(setup = ready, teardown = Work::check)]
#[bench::accepted(Lines::accepted)]
#[bench::closed(Lines::closed)]
#[bench::disconnected(Lines::disconnected)]
#[bench::of_others(Lines::of_others)]
#[bench::mixed(Lines::mixed)]
fn line(mut lines: Lines) -> Lines {
    lines.run();
    lines
}

#[library_benchmark(setup = ready, teardown = Work::check)]
#[bench::dump(Datagrams::of_a_dump)]
#[bench::ends(Datagrams::of_ends)]
fn netlink(mut datagrams: Datagrams) -> Datagrams {
    datagrams.run();
    datagrams
}

#[library_benchmark(setup = ready, teardown = Work::check)]
#[bench::none_moved(Reading::in_which_none_moved)]
#[bench::a_tenth_moved(Reading::in_which_a_tenth_moved)]
#[bench::all_moved(Reading::in_which_all_moved)]
fn difference(mut reading: Reading) -> Reading {
    reading.run();
    reading
}

#[library_benchmark(setup = ready, teardown = Work::check)]
#[bench::new_minute(Commit::of_a_new_minute)]
#[bench::same_minute(Commit::of_the_same_minute)]
fn commit(mut commit: Commit) -> Commit {
    commit.run();
    commit
}

library_benchmark_group!(
    name = paths;
    benchmarks = line, netlink, difference, commit
);

main!(
    // Caches are not asked for: where something lies in memory is nobody's doing.
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = paths
);
