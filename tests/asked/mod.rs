//! Which tests are going to run: what has to be compiled for them, and no more.

use libtest_mimic::Arguments;

/// Whether libtest-mimic runs the test of this title.
pub fn is_asked(arguments: &Arguments, title: &str) -> bool {
    let fits = |filter: &String| match arguments.exact {
        true => title == filter,
        false => title.contains(filter.as_str()),
    };
    arguments.filter.as_ref().is_none_or(fits)
        && !arguments.skip.iter().any(fits)
}
