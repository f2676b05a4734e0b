// ANCHOR: all
//! Squares a hundred numbers with a pool of threads.

use std::env;

use anyhow::{Context, Result, bail};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // Without this the first use starts the threads, and panics if it cannot.
    let threads = ThreadPoolBuilder::new().build_global();
    threads.context("cannot start the threads")?;
    let squares: Vec<u64> = (1..=100u64).into_par_iter().map(square).collect();
    println!("first five: {:?}", &squares[..5]);
    println!("sum of the squares: {}", squares.iter().sum::<u64>());
    Ok(())
}

fn square(n: u64) -> u64 {
    n.pow(2)
}
// ANCHOR_END: all
