//! A server without Idol, on `hl::recv`, like older drivers.

#![no_std]
#![no_main]

use core::cell::Cell;
use critical_section::Mutex;
use ringbuf::{ringbuf, ringbuf_entry};
use userlib::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

// A slot for the task itself. No other slot may have a target that is not more important.
task_slot!(ME, me);

#[derive(Copy, Clone, FromPrimitive)]
enum Op {
    Set = 1,
    Get = 2,
    Fill = 3,
    Sum = 4,
    Notes = 5,
    Trespass = 6,
}

#[repr(u32)]
enum ResponseCode {
    BadArg = 2,
}

impl From<ResponseCode> for u32 {
    fn from(code: ResponseCode) -> Self {
        code as u32
    }
}

#[derive(Copy, Clone, PartialEq)]
enum Trace {
    None,
    Set(u32),
    Notified(u32),
}

ringbuf!(EXPANDER_RINGBUF, Trace, 8, Trace::None);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FillArgs {
    value: u8,
    pad: [u8; 3],
    count: u32,
}

task_config::optional_task_config! {
    initial: u32,
}

/// Shared by critical sections, which `userlib` provides, as in many crates.
static NOTES: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

/// An operation of the thermal server that only the supervisor may call.
const SECRET: u16 = 10;

#[export_name = "main"]
fn main() -> ! {
    // This task has no configuration in app.toml.
    let mut pins = TASK_CONFIG.map_or(0, |config| config.initial);
    let (scratch,) = mutable_statics::mutable_statics! {
        static mut SCRATCH: [u8; 64] = [|| 0xff; _];
    };
    let mut sizes = fixedmap::FixedMap::<u8, usize, 2>::default();
    sizes.insert(1, scratch.len());
    assert_eq!((sizes.get(1), scratch[63]), (Some(64), 0xff));
    // A notification that the task posts to itself is there at the first receive.
    let me = ME.get_task_id();
    assert_eq!(usize::from(ME.get_task_index()), me.index());
    sys_post(me, notifications::NOTE_MASK);
    let mut buffer = [0_u32; 4];
    loop {
        hl::recv(
            buffer.as_mut_bytes(),
            notifications::NOTE_MASK,
            &mut pins,
            |_, bits| {
                ringbuf_entry!(EXPANDER_RINGBUF, Trace::Notified(bits));
                critical_section::with(|cs| {
                    let notes = NOTES.borrow(cs);
                    notes.set(notes.get() + 1);
                });
            },
            |pins, op, msg| -> Result<(), ResponseCode> {
                match op {
                    Op::Set => {
                        let (value, caller) =
                            msg.fixed::<u32, u32>().ok_or(ResponseCode::BadArg)?;
                        ringbuf_entry!(EXPANDER_RINGBUF, Trace::Set(*value));
                        let before = core::mem::replace(pins, *value);
                        caller.reply(before);
                    }
                    Op::Get => {
                        let (_, caller) = msg.fixed::<(), u32>().ok_or(ResponseCode::BadArg)?;
                        caller.reply(*pins);
                    }
                    Op::Fill => {
                        let (args, caller) = msg
                            .fixed_with_leases::<FillArgs, ()>(1)
                            .ok_or(ResponseCode::BadArg)?;
                        let borrow = caller.borrow(0);
                        let info = borrow.info().ok_or(ResponseCode::BadArg)?;
                        if !info.attributes.contains(LeaseAttributes::WRITE) {
                            return Err(ResponseCode::BadArg);
                        }
                        for at in 0..info.len.min(args.count as usize) {
                            borrow
                                .write_at(at, args.value)
                                .ok_or(ResponseCode::BadArg)?;
                        }
                        caller.reply(());
                    }
                    Op::Sum => {
                        let (_, caller) = msg
                            .fixed_with_leases::<(), u32>(1)
                            .ok_or(ResponseCode::BadArg)?;
                        let mut words = [0_u8; 8];
                        caller
                            .borrow(0)
                            .read_fully_at(0, &mut words)
                            .ok_or(ResponseCode::BadArg)?;
                        caller.reply(words.iter().map(|&byte| u32::from(byte)).sum());
                    }
                    Op::Trespass => {
                        let (&id, caller) = msg.fixed::<u32, ()>().ok_or(ResponseCode::BadArg)?;
                        caller.reply(());
                        // The reply comes first, because the call is expected to fault this task.
                        sys_send(TaskId(id as u16), SECRET, &[], &mut [], &[]);
                    }
                    Op::Notes => {
                        let (_, caller) = msg.fixed::<(), u32>().ok_or(ResponseCode::BadArg)?;
                        caller.reply(critical_section::with(|cs| NOTES.borrow(cs).get()));
                    }
                }
                Ok(())
            },
        );
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
