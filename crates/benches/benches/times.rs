//! The hot paths by the time that they take.

use std::cell::RefCell;

use benches::{Kinds, Work, commit, difference, line, netlink};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn paths(criterion: &mut Criterion) {
    measure(criterion, "line", line::KINDS);
    measure(criterion, "netlink", netlink::KINDS);
    measure(criterion, "difference", difference::KINDS);
    measure(criterion, "commit", commit::KINDS);
}

fn measure<W: Work, const N: usize>(criterion: &mut Criterion, path: &str, kinds: Kinds<W, N>) {
    let mut group = criterion.benchmark_group(path);
    for (kind, make) in kinds {
        let work = RefCell::new(make());
        group.throughput(Throughput::Elements(work.borrow().count()));
        group.bench_function(kind, |bencher| {
            bencher.iter_batched(
                || work.borrow_mut().prepare(),
                |()| work.borrow_mut().run(),
                BatchSize::PerIteration,
            );
        });
        work.into_inner().check();
    }
}

criterion_group!(all, paths);
criterion_main!(all);
