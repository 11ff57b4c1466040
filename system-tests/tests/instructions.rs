//! A slowdown of the hot paths is seen: what they take, in instructions, is what the
//! committed file says, a few per cent aside. A speed-up is seen too, so that it cannot
//! be lost again unnoticed.

use system_tests::instructions::{Counts, runner};

#[test]
fn the_hot_paths_take_as_many_instructions_as_before() {
    let name = "instructions::the_hot_paths_take_as_many_instructions_as_before";
    let Some(runner) = runner(name) else {
        return;
    };
    let expected = Counts::expected().expect("the expected counts");
    let counted = Counts::of(&runner).expect("counts");
    counted.must_be(&expected);
}
