// ANCHOR: all
//! Proves that a channel stays open for a receiver that keeps a sender.

use std::env;

use anyhow::{Result, bail};
use crossbeam_channel::{TryRecvError, bounded};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    prove()
}

fn prove() -> Result<()> {
    // ANCHOR: proof
    let (sender, receiver) = bounded::<&str>(4);
    let for_requeuing = sender.clone();
    drop(sender);

    // `recv` waits while this is the answer, and `try_recv` only tells.
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(for_requeuing);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    println!("with a sender of its own: waits; without: ends");
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
