// ANCHOR: all
//! Proves that a length is refused before any memory is set aside for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    refuse()
}

// ANCHOR: proof
fn refuse() -> Result<()> {
    let (mut reader, mut writer) = os_pipe::pipe()?;
    // Not a frame: a program that speaks another language.
    writer.write_all(b"HTTP/1.1 200 OK")?;
    drop(writer);

    let before = SET_ASIDE.load(Relaxed);
    let frame = read_frame(&mut reader);
    let set_aside = SET_ASIDE.load(Relaxed) - before;
    assert!(set_aside > 0, "the length and the error take a few bytes");
    assert!(set_aside < 64 * 1024, "{set_aside} bytes were set aside");
    println!("{}", frame.err().context("no error")?);
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    assert_eq!(rest, "/1.1 200 OK", "nothing after the length was read");
    Ok(())
}
// ANCHOR_END: proof

// ANCHOR: counting
/// How many bytes this program has ever asked for.
static SET_ASIDE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

// SAFETY: all is left to the system's allocator. What is not here, such as
// growing, comes down to these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        SET_ASIDE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps alloc's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's promises.
        unsafe { System.dealloc(start, layout) }
    }
}
// ANCHOR_END: counting

const MAX_FRAME: u32 = 1024 * 1024;

/// Reads one frame, or `None` if the pipe ends where a frame would begin.
fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(4);
    pipe.by_ref()
        .take(4)
        .read_to_end(&mut header)
        .context("cannot read a length")?;
    if header.is_empty() {
        return Ok(None);
    }
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        bail!("expected a length of 4 bytes, the pipe ended after {header:?}")
    };
    let length = u32::from_be_bytes(header);
    ensure!(
        length <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    let mut message = Vec::with_capacity(length as usize);
    let read = pipe
        .by_ref()
        .take(length.into())
        .read_to_end(&mut message)
        .context("cannot read a message")?;
    ensure!(
        read == length as usize,
        "expected a frame of {length} bytes, the pipe ended after {read}"
    );
    Ok(Some(message))
}
// ANCHOR_END: all
