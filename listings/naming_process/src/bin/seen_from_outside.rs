// ANCHOR: all
//! Names a worker in two places, and looks at it with `/proc` and `ps`.

#[cfg(target_os = "linux")]
use {
    anyhow::{Context, ensure},
    nix::sys::prctl,
    std::env,
    std::ffi::CString,
    std::fs,
    std::io::{self, BufRead, BufReader},
    std::os::unix::process::CommandExt,
    std::process::{Child, Command, Stdio},
};

use anyhow::{Result, bail};

#[cfg(target_os = "linux")]
fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
#[cfg(target_os = "linux")]
fn parent() -> Result<()> {
    let name = "Downloader-Process-7";
    let mut worker = Command::new(env::current_exe()?)
        .arg0(format!("downloader: {name}"))
        .args(["worker", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let seen = look_at(&mut worker);
    // Joined first, whatever was to be seen.
    let status = worker.wait().context("cannot wait for the worker")?;
    ensure!(status.success(), "the worker has failed: {status}");
    print!("{}", seen?);
    Ok(())
}

#[cfg(target_os = "linux")]
fn look_at(worker: &mut Child) -> Result<String> {
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");

    let pid = worker.id().to_string();
    let comm = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let lines = [
        format!("/proc/PID/comm:    {comm:?}\n"),
        format!("/proc/PID/cmdline: {cmdline:?}\n"),
        format!("ps -o comm=:       {:?}\n", ps("comm=", &pid)?),
        format!("ps -o args=:       {:?}\n", ps("args=", &pid)?),
    ];
    Ok(lines.concat())
}
// ANCHOR_END: parent

// ANCHOR: ps
#[cfg(target_os = "linux")]
fn ps(column: &str, pid: &str) -> Result<String> {
    let output = Command::new("ps")
        .args(["-ww", "-o", column, "-p", pid])
        .output()
        .context("cannot run ps")?;
    ensure!(output.status.success(), "ps: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
// ANCHOR_END: ps

// ANCHOR: worker
#[cfg(target_os = "linux")]
fn worker(name: String) -> Result<()> {
    prctl::set_name(&CString::new(name)?).context("cannot set the name")?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: worker

#[cfg(not(target_os = "linux"))]
fn main() -> Result<()> {
    bail!("this program needs Linux: it reads /proc and calls prctl")
}
// ANCHOR_END: all
