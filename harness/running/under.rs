//! Runs a program under a hostile condition.
//!
//! `under CONDITION WITNESS PLACE UID PROGRAM` brings the condition about,
//! checks from inside that it took effect, says so in the file `WITNESS`, and
//! becomes the program. `PLACE` is a folder for what the condition needs,
//! `UID` the user for the conditions that need another one.
//!
//! `under hold UID` holds, as that user, as many pipes as leave the user only
//! small ones, until standard input ends.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::{env, iter, process};

use crate::hostile::Condition::{self, *};
use crate::hostile::NOT_STARTED;
use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{self, CloneFlags, CpuSet, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{self, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Gid, Pid, Uid};

/// Length of the long name for temporary files, in bytes.
const LONG: usize = 121;

/// More than any user may hold before the kernel makes new ones small
/// (/proc/sys/fs/pipe-user-pages-soft, 16,384 pages; a pipe has 16).
const PIPES: usize = 1024;

/// What a pipe holds where nothing is unusual, in bytes.
const PIPE: i32 = 65_536;

/// What the binary `under` does with its arguments.
///
/// # Errors
/// If an argument is wrong or the program cannot be started. A condition that
/// does not take effect is in the witness.
pub fn run() -> Result<()> {
    match env::args_os().nth(1) {
        Some(word) if word == "hold" => hold(),
        _ => under(),
    }
}

/// Where the program is, what it is called with, and what it finds.
struct Plan {
    program: PathBuf,
    environment: Vec<CString>,
    place: PathBuf,
    uid: Uid,
}

fn under() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let mut next = |what| {
        args.next()
            .with_context(|| format!("an argument is missing: {what}"))
    };
    let name = next("the condition")?;
    let condition = Condition::named(&name.to_string_lossy())
        .with_context(|| format!("no condition is called {name:?}"))?;
    // Open before the condition can forbid it; closed when the program starts.
    let mut witness = File::create(next("the witness")?)?;
    let place = PathBuf::from(next("the place")?);
    let uid: u32 = next("the user")?.to_string_lossy().parse()?;
    let program = PathBuf::from(next("the program")?);
    let mut plan = Plan {
        program,
        environment: Vec::new(),
        place,
        uid: Uid::from_raw(uid),
    };
    match bring_about(condition, &mut plan) {
        Ok(()) => {
            writeln!(witness, "took effect")?;
            if condition == NoFileSize {
                // From here on this process can write no file either.
                limit(Resource::RLIMIT_FSIZE, 0)?;
            }
        }
        Err(error) => {
            let refused = error.downcast_ref::<Refused>().is_some();
            let word = match refused {
                true => "refused",
                false => "did not take effect",
            };
            writeln!(witness, "{word}: {error:#}")?;
            process::exit(NOT_STARTED.into());
        }
    }
    drop(witness);
    become_the_program(condition, &plan)
}

/// The machine does not allow this condition to be brought about.
#[derive(Debug)]
struct Refused(&'static str, Errno);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not allowed here: {}", self.0, self.1)
    }
}

impl std::error::Error for Refused {}

fn bring_about(condition: Condition, plan: &mut Plan) -> Result<()> {
    let mut environment: Vec<(OsString, OsString)> = env::vars_os().collect();
    let mut temporary = |folder: &Path| {
        environment.retain(|(name, _)| name != "TMPDIR");
        environment.push(("TMPDIR".into(), folder.into()));
    };
    match condition {
        SigchldIgnored => ignore(Signal::SIGCHLD)?,
        SighupIgnored => ignore(Signal::SIGHUP)?,
        SigintIgnored => ignore(Signal::SIGINT)?,
        SigtermIgnored => ignore(Signal::SIGTERM)?,
        SigquitIgnored => ignore(Signal::SIGQUIT)?,
        SigtermBlocked => block(iter::once(Signal::SIGTERM).collect())?,
        AllSignalsBlocked => block(SigSet::all())?,
        FileUnlinked => install(plan, OsStr::new("soon gone"))?,
        FolderNotUtf8 => {
            let name = OsString::from_vec(b"not \xff UTF-8".to_vec());
            install(plan, &name)?;
            let folder = plan.place.join("temporary").join(name);
            fs::create_dir_all(&folder)?;
            ensure!(folder.to_str().is_none(), "the folder is UTF-8");
            temporary(&folder);
        }
        FolderWithNewline => {
            install(plan, OsStr::new("with spaces\nand a newline"))?;
        }
        StdinClosed => close(&[0])?,
        StdoutClosed => close(&[1])?,
        StderrClosed => close(&[2])?,
        AllClosed => close(&[0, 1, 2])?,
        StdoutFull => {
            let full = File::options().write(true).open("/dev/full")?;
            unistd::dup2_stdout(&full)?;
            let written = unistd::write(io::stdout().as_fd(), b"x");
            ensure!(written == Err(Errno::ENOSPC), "it takes output");
        }
        TmpdirMissing => {
            let folder = plan.place.join("missing");
            ensure!(!folder.exists(), "it exists");
            temporary(&folder);
        }
        TmpdirReadOnly => {
            let folder = plan.place.join("read-only");
            fs::create_dir_all(&folder)?;
            own_mounts(CloneFlags::empty())?;
            mount_over(&folder, "tmpfs", MsFlags::MS_RDONLY)?;
            let made = File::create(folder.join("x"));
            ensure!(
                made.is_err_and(
                    |e| e.kind() == io::ErrorKind::ReadOnlyFilesystem
                ),
                "it can be written to"
            );
            temporary(&folder);
        }
        TmpdirLong => {
            let place = plan.place.join("temporary");
            let missing = LONG.checked_sub(place.as_os_str().len() + 1);
            let missing = missing.context("the place is too deep")?;
            let folder = place.join("x".repeat(missing));
            fs::create_dir_all(&folder)?;
            ensure!(folder.as_os_str().len() == LONG, "another length");
            temporary(&folder);
        }
        Descriptors8 => limit(Resource::RLIMIT_NOFILE, 8)?,
        Descriptors20 => limit(Resource::RLIMIT_NOFILE, 20)?,
        NoFileSize => {} // set when the witness has been written
        Processes1 | Processes4 => {
            let most = if condition == Processes1 { 1 } else { 4 };
            become_user(plan, &mut temporary, || {
                limit(Resource::RLIMIT_NPROC, most)
            })?;
            // This process is one of them.
            let more = processes_that_can_be_had()?;
            ensure!(more + 1 == most, "{more} more can be had");
        }
        OtherUser => become_user(plan, &mut temporary, || Ok(()))?,
        SmallPipes => {
            become_user(plan, &mut temporary, || Ok(()))?;
            let (reader, _writer) = io::pipe()?;
            let size = fcntl(&reader, FcntlArg::F_GETPIPE_SZ)?;
            ensure!(size < PIPE, "a new pipe holds {size} bytes");
        }
        NoProc => {
            own_mounts(CloneFlags::empty())?;
            mount_over(Path::new("/proc"), "tmpfs", MsFlags::empty())?;
            ensure!(!Path::new("/proc/self").exists(), "/proc is there");
        }
        OneCpu => {
            let this = Pid::from_raw(0);
            let allowed = sched::sched_getaffinity(this)?;
            let mut one = CpuSet::new();
            let first = (0..CpuSet::count())
                .find(|&cpu| allowed.is_set(cpu) == Ok(true));
            one.set(first.context("no processor")?)?;
            sched::sched_setaffinity(this, &one)?;
            let count = std::thread::available_parallelism()?;
            ensure!(count.get() == 1, "there are {count} processors");
        }
        EmptyEnvironment => environment.clear(),
        Process1 => {
            own_mounts(CloneFlags::CLONE_NEWPID)?;
            as_first_process()?;
            mount_over(Path::new("/proc"), "proc", MsFlags::empty())?;
            ensure!(process::id() == 1, "the number is {}", process::id());
        }
        // The supervisor does the rest. It has begun when this process is
        // continued: the program runs no instruction before.
        Stuttering => signal::raise(Signal::SIGSTOP)?,
    }
    plan.environment = environment
        .into_iter()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            Ok(CString::new(name.into_vec())?)
        })
        .collect::<Result<_>>()?;
    Ok(())
}

fn become_the_program(condition: Condition, plan: &Plan) -> Result<()> {
    let path = CString::new(plan.program.as_os_str().as_bytes())?;
    let args = [path.as_c_str()];
    let empty: [&CStr; 0] = [];
    if condition == FileUnlinked {
        // The file is gone before its first instruction, not some time later.
        let file = File::open(&plan.program)?;
        fs::remove_file(&plan.program)?;
        ensure!(file.metadata()?.nlink() == 0, "the file has another name");
        unistd::execveat(
            &file,
            c"",
            &args,
            &plan.environment,
            AtFlags::AT_EMPTY_PATH,
        )?;
    }
    match condition == EmptyEnvironment {
        true => unistd::execve(&path, &args, &empty)?,
        false => unistd::execve(&path, &args, &plan.environment)?,
    };
    Ok(())
}

fn ignore(signal: Signal) -> Result<()> {
    // SAFETY: no code of this process runs for an ignored signal.
    unsafe { signal::signal(signal, SigHandler::SigIgn) }?;
    // SAFETY: as above; the second call says what the first has set.
    let old = unsafe { signal::signal(signal, SigHandler::SigIgn) }?;
    ensure!(matches!(old, SigHandler::SigIgn), "{signal} is not ignored");
    Ok(())
}

fn block(signals: SigSet) -> Result<()> {
    signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), None)?;
    let mask = SigSet::thread_get_mask()?;
    ensure!(mask.contains(Signal::SIGTERM), "SIGTERM is not blocked");
    Ok(())
}

fn limit(resource: Resource, most: u64) -> Result<()> {
    setrlimit(resource, most, most)?;
    ensure!(getrlimit(resource)? == (most, most), "the limit is another");
    Ok(())
}

/// Gives the program a file below a folder of this name.
fn install(plan: &mut Plan, folder: &OsStr) -> Result<()> {
    let folder = plan.place.join("installed").join(folder);
    fs::create_dir_all(&folder)?;
    let name = plan.program.file_name().context("a program has a name")?;
    let installed = folder.join(name);
    // From the run before this one.
    let _ = fs::remove_file(&installed);
    fs::copy(&plan.program, &installed)?;
    plan.program = installed;
    Ok(())
}

fn close(numbers: &[i32]) -> Result<()> {
    for &number in numbers {
        unistd::close(number)?;
        // SAFETY: F_GETFD reads a flag and takes any number.
        let flags = unsafe { nix::libc::fcntl(number, nix::libc::F_GETFD) };
        ensure!(flags == -1, "descriptor {number} is open");
    }
    Ok(())
}

/// Becomes the user of the plan, who owns what the program needs.
fn become_user(
    plan: &mut Plan,
    temporary: &mut impl FnMut(&Path),
    before: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if !Uid::effective().is_root() {
        return Err(Refused("becoming another user", Errno::EPERM).into());
    }
    install(plan, OsStr::new("for all"))?;
    let own = plan.place.join("temporary");
    fs::create_dir_all(&own)?;
    let folder = env::current_dir()?;
    let (uid, gid) = (plan.uid, Gid::from_raw(plan.uid.as_raw()));
    // Temporary folders belong to root alone, up to the common one.
    let below = |path: &Path| {
        let home = env::temp_dir();
        let common = Path::new("/tmp");
        path.ancestors()
            .take_while(|it| *it != home && *it != common)
            .map(Path::to_owned)
            .collect::<Vec<_>>()
    };
    for open in below(&plan.place).iter().chain(&below(&folder)) {
        if open.metadata()?.uid() == 0 && open.starts_with("/tmp") {
            fs::set_permissions(open, Permissions::from_mode(0o755))?;
        }
    }
    for own in [&own, &folder] {
        chown(own, Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    temporary(&own);
    before()?;
    unistd::setgroups(&[gid])?;
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(uid, uid, uid)?;
    ensure!(Uid::effective() == uid, "the user is another");
    let program = File::open(&plan.program);
    program.context("the user cannot read the program")?;
    Ok(())
}

fn processes_that_can_be_had() -> Result<u64> {
    let mut children = Vec::new();
    let ends = loop {
        // SAFETY: the child makes no call but pause and _exit.
        match unsafe { unistd::fork() } {
            Ok(ForkResult::Parent { child }) => children.push(child),
            Ok(ForkResult::Child) => {
                unistd::pause();
                // SAFETY: it runs nothing of this process.
                unsafe { nix::libc::_exit(0) }
            }
            Err(end) => break end,
        }
        if children.len() > 16 {
            break Errno::UnknownErrno;
        }
    };
    for &child in &children {
        signal::kill(child, Signal::SIGKILL)?;
        waitpid(child, None)?;
    }
    ensure!(ends == Errno::EAGAIN, "starting processes ends with {ends}");
    Ok(children.len() as u64)
}

/// Takes this process into mounts of its own.
fn own_mounts(more: CloneFlags) -> Result<()> {
    let mut flags = CloneFlags::CLONE_NEWNS | more;
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if !uid.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    match unshare(flags) {
        Ok(()) => {}
        Err(why @ (Errno::EPERM | Errno::ENOSYS | Errno::ENOSPC)) => {
            return Err(Refused("a namespace", why).into());
        }
        Err(why) => bail!("cannot make a namespace: {why}"),
    }
    if !uid.is_root() {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none)
        .map_err(|why| Refused("changing mounts", why))?;
    Ok(())
}

fn mount_over(folder: &Path, kind: &str, flags: MsFlags) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some("none"), folder, Some(kind), flags, none)
        .map_err(|why| Refused("mounting", why))?;
    Ok(())
}

/// Goes on in a child, which is the namespace's first process; the parent
/// ends as the child does.
fn as_first_process() -> Result<()> {
    // SAFETY: this process has one thread.
    let ForkResult::Parent { child } = unsafe { unistd::fork() }? else {
        return Ok(());
    };
    match waitpid(child, None)? {
        WaitStatus::Exited(_, code) => process::exit(code),
        WaitStatus::Signaled(_, which, _) => {
            // SAFETY: the default action runs no code of this process.
            unsafe { signal::signal(which, SigHandler::SigDfl) }?;
            signal::raise(which)?;
            bail!("survived {which}")
        }
        other => bail!("the first process: {other:?}"),
    }
}

fn hold() -> Result<()> {
    let uid = env::args().nth(2).context("the user is missing")?;
    let uid = Uid::from_raw(uid.parse()?);
    let most = 2 * PIPES as u64 + 64;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    unistd::setresuid(uid, uid, uid)?;
    let mut held = Vec::new();
    for _ in 0..PIPES {
        held.push(io::pipe().context("cannot hold a pipe")?);
    }
    println!("holds {} pipes from {}", held.len(), held[0].0.as_raw_fd());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
