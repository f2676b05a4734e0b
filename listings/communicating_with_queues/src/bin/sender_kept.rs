// ANCHOR: all
//! Proves that a channel stays open for a receiver that keeps a sender.

use std::env;
use std::time::Duration;

use anyhow::{Result, bail};
use crossbeam_channel::{RecvTimeoutError, bounded};

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

    let moment = Duration::from_millis(20);
    let waiting = receiver.recv_timeout(moment);
    assert_eq!(waiting, Err(RecvTimeoutError::Timeout));
    drop(for_requeuing);
    let ended = receiver.recv_timeout(moment);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    println!("with a sender of its own: waits; without: ends");
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
