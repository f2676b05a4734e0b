//! Whichever process is killed, and whenever it is, nobody hangs, nothing is
//! left behind, and nothing is lost where the page says so.
//!
//! `KILLS=200 cargo test --test kills -- --nocapture` kills each program two
//! hundred times and says what became of it.

mod barrier;
mod pipes;
mod pool;
mod queues;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");
