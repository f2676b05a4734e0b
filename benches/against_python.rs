//! The listings' own code against Python's `multiprocessing`, by turns in one
//! run: `cargo bench --bench against_python [ROW…]`.
//!
//! A time depends on the machine and on what else it does, so no test asserts
//! one. Only the ratio of two medians of the same run is reported.

mod barrier;
mod pipes;
mod pool;
mod queues;
mod report;

use std::env;

use anyhow::{Result, bail};
use report::Row;

fn main() -> Result<()> {
    // Cargo adds `--bench`; everything else names rows, or is the role of a
    // process that a row has started.
    let args: Vec<String> =
        env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some((role, rest)) = args.split_first()
        && let Some(role) = role.strip_prefix("role:")
    {
        return play(role, rest);
    }
    report::run(rows(), &args)
}

/// Every row of the table, in its order.
fn rows() -> Vec<Row> {
    [pipes::rows(), queues::rows(), barrier::rows(), pool::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// What a process does that a row has started.
fn play(role: &str, args: &[String]) -> Result<()> {
    match role.split_once([':', '_']) {
        Some(("pipes", role)) => pipes::play(role, args),
        Some(("queues", role)) => queues::play(role, args),
        Some(("barrier", _)) => barrier::play(role, args),
        Some(("pool", _)) => pool::play(role),
        _ => bail!("unknown role {role:?}"),
    }
}
