// ANCHOR: all
//! Proves that a closure registered at run time does not exist in the child.

use std::collections::HashMap;
use std::env;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, bail};

type Registry = Mutex<HashMap<String, Box<dyn Fn(u32) -> u32 + Send>>>;

// ANCHOR: call
fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default)
}

fn call(name: &str, argument: u32) -> Option<u32> {
    let kinds = registry().lock().unwrap_or_else(PoisonError::into_inner);
    kinds.get(name).map(|run| run(argument))
}
// ANCHOR_END: call

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => {
            println!("{:?}", call("double", 21));
            Ok(())
        }
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let factor = 2;
    registry()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert("double".to_string(), Box::new(move |n| n * factor));
    let child = Command::new(env::current_exe()?)
        .arg("child")
        .output()
        .context("cannot run the child")?;

    let here = call("double", 21);
    let there = String::from_utf8(child.stdout)?;
    assert_eq!(here, Some(42));
    assert_eq!(there, "None\n");
    println!("in the parent: {here:?}, in the child: {}", there.trim());
    Ok(())
}
// ANCHOR_END: proof
// ANCHOR_END: all
