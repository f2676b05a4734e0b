//! Running a program under strace, and reading what strace writes: a line for
//! each system call, signal and end of each thread.
//!
//! <https://man7.org/linux/man-pages/man1/strace.1.html>

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use running::needs::STRACE;
use running::supervise::{SUPERVISOR, Supervised};

/// The calls by which processes reach each other.
/// `rt_sigprocmask` is what the C library calls right before it starts a
/// process, and unlike `clone3` its callers can be found.
const CALLS: &str = "trace=process,kill,tkill,tgkill,pidfd_send_signal,\
                     rt_sigprocmask,read,write,readv,writev,pipe2,socketpair,\
                     sendmsg,recvmsg,sendto,recvfrom,close,close_range,dup,\
                     dup2,dup3,fcntl,prctl,accept4";

/// With these also who wakes whom through shared memory.
const FUTEXES: &str = ",mmap,futex";

/// Most that is kept of what a call reads or writes, in bytes.
const LONGEST: usize = 200;

/// One line of the trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The thread.
    pub tid: i32,
    /// When it ended, in seconds, by the clock.
    pub ended: f64,
    /// When it began: earlier if the call was interrupted by other lines.
    pub began: f64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Call {
        name: String,
        arguments: String,
        /// What it returned, for example `6`, `0` or `-1 EINTR (…)`. `?` if
        /// it never returned.
        result: String,
        /// The addresses of its callers in the program's own file, the
        /// innermost first: offsets in that file.
        stack: Vec<u64>,
    },
    /// `SIGTERM`, and who sent it.
    Signal {
        name: String,
        sender: Option<i32>,
    },
    Exited(i32),
    /// By which signal.
    Killed(String),
    /// A call that had not returned when the trace ended.
    Hangs {
        name: String,
        arguments: String,
    },
}

/// A program that ran under strace.
#[derive(Debug)]
pub struct Traced {
    pub lines: Vec<Line>,
    /// Whether it had to be ended.
    pub hung: bool,
}

/// How a program is traced.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// How long it may run; under strace it is ten times slower.
    pub deadline: Duration,
    /// Whether to note who sleeps on a futex and who wakes it.
    pub futexes: bool,
}

/// Runs the program under strace in an empty folder, and returns the trace.
///
/// # Errors
/// If strace is missing or may not trace, or if the trace cannot be read.
pub fn trace(program: &Path, arguments: &[&str], how: How) -> Result<Traced> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let trace = folder.path().join("trace");
    let calls = match how.futexes {
        true => format!("{CALLS}{FUTEXES}"),
        false => CALLS.to_owned(),
    };
    let seconds = format!("{}", how.deadline.as_secs_f32());
    // When strace is killed, so is the program, and the trace ends with the
    // calls that have not returned.
    let outcome = Supervised::new(&*SUPERVISOR, "timeout")
        .args(["--signal=KILL", &seconds, "strace"])
        .args(["--follow-forks", "--stack-traces", "-ttt", "-yy"])
        .arg(format!("--string-limit={LONGEST}"))
        .args(["-e", &calls, "-o"])
        .arg(&trace)
        .arg(program)
        .args(arguments)
        .deadline(how.deadline + Duration::from_secs(10))
        .run()?;
    let text = fs::read(&trace).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    ensure!(
        text.contains("execve("),
        "strace recorded nothing ({}): {}",
        outcome.ending(),
        outcome.output
    );
    Ok(Traced {
        lines: parse(&text, program)?,
        hung: outcome.took >= how.deadline,
    })
}

/// Whether programs can be traced here.
///
/// # Errors
/// If strace is missing, or if the system does not allow it.
pub fn version() -> Result<String> {
    let version = STRACE.version()?;
    let output = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output()
        .context("cannot start strace")?;
    ensure!(
        output.status.success(),
        "strace may not trace here: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(version)
}

/// Reads a trace.
///
/// # Errors
/// If a line has another form than strace gives it.
pub fn parse(text: &str, program: &Path) -> Result<Vec<Line>> {
    let own = format!(" > {}(", program.display());
    let mut lines: Vec<Line> = Vec::new();
    // The beginnings of calls that other lines interrupted, by thread.
    let mut open: HashMap<i32, (f64, String)> = HashMap::new();
    // What is cut off has not returned.
    let (whole, cut_off) = text.rsplit_once('\n').unwrap_or(("", text));
    let cut_off = match cut_off {
        "" => String::new(),
        begun => format!("{begun} <unfinished ...>"),
    };
    for (number, text) in whole.lines().chain(cut_off.lines()).enumerate() {
        if let Some(frame) = text.strip_prefix(&own) {
            if let Some(Line {
                what: What::Call { stack, .. },
                ..
            }) = lines.last_mut()
            {
                stack.extend(address(frame));
            }
            continue;
        }
        if text.starts_with(" > ") {
            continue;
        }
        let line = line(text, &mut open)
            .with_context(|| format!("line {}: {text}", number + 1))?;
        lines.extend(line);
    }
    for (tid, (began, begun)) in open {
        let (name, arguments) = begun.split_once('(').unwrap_or((&begun, ""));
        lines.push(Line {
            tid,
            ended: f64::INFINITY,
            began,
            what: What::Hangs {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
            },
        });
    }
    // What a call does to others it does after its beginning; what it learns
    // from others it knows at its end.
    lines.sort_by(|a, b| a.time().total_cmp(&b.time()));
    Ok(lines)
}

impl Line {
    fn time(&self) -> f64 {
        let What::Call {
            name, arguments, ..
        } = &self.what
        else {
            return self.ended;
        };
        let learns = [
            "execve", "read", "readv", "recvfrom", "recvmsg", "wait4",
            "waitid", "mmap",
        ];
        let sleeps = name == "futex" && arguments.contains("FUTEX_WAIT");
        match learns.contains(&name.as_str()) || sleeps {
            true => self.ended,
            false => self.began,
        }
    }
}

/// The address in `name+0x12) [0x3456]`.
fn address(frame: &str) -> Option<u64> {
    let (_, address) = frame.rsplit_once("[0x")?;
    u64::from_str_radix(address.strip_suffix(']')?, 16).ok()
}

fn line(
    text: &str,
    open: &mut HashMap<i32, (f64, String)>,
) -> Result<Option<Line>> {
    let mut words = text.splitn(2, ' ');
    let tid = words.next().unwrap_or_default().parse()?;
    let rest = words.next().context("no time")?.trim_start();
    let (time, rest) = rest.split_once(' ').context("no call")?;
    let time: f64 = time.parse()?;
    let at = |began, what| {
        Ok(Some(Line {
            tid,
            ended: time,
            began,
            what,
        }))
    };
    if let Some(signal) = rest.strip_prefix("--- ") {
        let name = signal.split(' ').next().unwrap_or_default();
        let sender = signal
            .split_once("si_pid=")
            .and_then(|(_, pid)| pid.split([',', '}']).next()?.parse().ok());
        let by_somebody = signal.contains("si_code=SI_");
        return at(
            time,
            What::Signal {
                name: name.to_owned(),
                sender: sender.filter(|_| by_somebody),
            },
        );
    }
    if let Some(end) = rest.strip_prefix("+++ ") {
        let end = end.trim_end_matches(" +++");
        if let Some(code) = end.strip_prefix("exited with ") {
            return at(time, What::Exited(code.parse()?));
        }
        if let Some(signal) = end.strip_prefix("killed by ") {
            let signal = signal.split(' ').next().unwrap_or_default();
            return at(time, What::Killed(signal.to_owned()));
        }
        // `+++ superseded by execve in pid 1 +++`
        return Ok(None);
    }
    if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
        open.insert(tid, (time, begun.to_owned()));
        return Ok(None);
    }
    let (began, whole) = match rest.strip_prefix("<... ") {
        Some(resumed) => {
            let (_, end) =
                resumed.split_once(" resumed>").context("resumed")?;
            let Some((began, begun)) = open.remove(&tid) else {
                bail!("nothing was interrupted");
            };
            (began, begun + end)
        }
        None => (time, rest.to_owned()),
    };
    let (name, rest) = whole.split_once('(').context("no call")?;
    // The result follows the last bracket; a text may hold others.
    let (arguments, result) = rest.rsplit_once(" = ").context("no result")?;
    let arguments = arguments.trim_end();
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    at(
        began,
        What::Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            result: result.to_owned(),
            stack: Vec::new(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_one_line() -> Result<()> {
        let text = "7 1.0 read(5<pipe:[9]>,  <unfinished ...>\n\
                    8 2.0 write(1<pipe:[9]>, \"a = (b)\\n\", 8) = 8\n \
                    > /bin/it(it::main+0x1b) [0x51b]\n \
                    > /lib/libc.so.6(main+0x1b) [0x7]\n\
                    7 3.0 <... read resumed>\"a = (b)\\n\", 8192) = 8\n\
                    7 4.0 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, \
                    si_pid=8, si_uid=0} ---\n\
                    7 5.0 +++ killed by SIGTERM +++\n";
        let lines = parse(text, Path::new("/bin/it"))?;
        assert_eq!(lines.len(), 4);
        let What::Call { stack, .. } = &lines[0].what else {
            bail!("no call");
        };
        assert_eq!(stack, &[0x51b]);
        assert_eq!((lines[1].began, lines[1].ended), (1.0, 3.0));
        let What::Call {
            name,
            arguments,
            result,
            ..
        } = &lines[1].what
        else {
            bail!("no call");
        };
        assert_eq!(name, "read");
        assert_eq!(arguments, "5<pipe:[9]>, \"a = (b)\\n\", 8192");
        assert_eq!(result, "8");
        let signal = What::Signal {
            name: "SIGTERM".to_owned(),
            sender: Some(8),
        };
        assert_eq!(lines[2].what, signal);
        assert_eq!(lines[3].what, What::Killed("SIGTERM".to_owned()));
        Ok(())
    }
}
