//! Calls every operation of the foreign servers and reports which calls worked.

#![no_std]
#![no_main]

use foreign_thermal_api::*;
use userlib::units::Celsius;
use userlib::*;

task_slot!(SUPERVISOR, supervisor);
task_slot!(THERMAL, sensors);
task_slot!(EXPANDER, expander);

/// A name and a function.
type Case = (&'static str, fn(&Thermal));

#[export_name = "main"]
fn main() -> ! {
    let cases: [Case; 12] = [
        ("s7_2_zerocopy_arguments_and_replies", zerocopy),
        ("s7_2_clike_errors", clike),
        ("s7_2_hubpack_replies_and_complex_errors", hubpack),
        ("s7_2_ssmarshal", ssmarshal),
        ("s7_2_ssmarshal_tags_without_memory", ssmarshal_tags),
        ("s7_2_leases", leases),
        ("s7_6_a_reply_from_the_notification_handler", later),
        ("s7_3_a_restarted_server", death),
        ("s7_4_a_restricted_operation_is_refused", restricted),
        ("s6_hl_server", expander),
        ("s6_hl_leases", expander_leases),
        ("s5_12_notifications_of_other_tasks", notes),
    ];
    let thermal = Thermal::from(THERMAL.get_task_id());
    if supervisor(4, &[]) == 0 {
        for (name, case) in cases {
            supervisor(1, name.as_bytes());
            case(&thermal);
        }
        supervisor(1, &[]);
    }
    // Then single cases, when a debugger asks for them: the executor restarts this task before
    // each.
    loop {
        let mut wanted = None;
        hl::recv_without_notification(&mut [0; 4], |op, msg| -> Result<(), u32> {
            match op {
                Op::RunCase => {
                    let (number, caller) = msg.fixed::<[u8; 4], ()>().ok_or(2_u32)?;
                    wanted = Some(u32::from_le_bytes(*number));
                    caller.reply(());
                }
            }
            Ok(())
        });
        if let Some(number) = wanted {
            let (_, case) = cases.get(number as usize).unwrap_lite();
            case(&thermal);
            supervisor(0xfffe, &[]);
        }
    }
}

/// The operations by which a debugger runs cases of a test image's suite.
#[derive(Copy, Clone, FromPrimitive)]
enum Op {
    RunCase = 3,
}

fn supervisor(op: u16, message: &[u8]) -> u32 {
    let mut reply = [0; 4];
    let (code, _) = sys_send(SUPERVISOR.get_task_id(), op, message, &mut reply, &[]);
    assert_eq!(code, 0);
    u32::from_le_bytes(reply)
}

fn zerocopy(thermal: &Thermal) {
    assert_eq!(thermal.temperature(SensorId::Inlet), Ok(21.5));
    assert_eq!(thermal.temperature(SensorId::Outlet), Ok(-4.0));
    assert!(!thermal.armed());
    assert_eq!(thermal.set_limit(Celsius(30.0), true), Ok(false));
    assert!(thermal.armed());
    assert_eq!(thermal.set_limit(Celsius(30.0), false), Ok(true));
    assert!(!thermal.armed());
}

fn clike(thermal: &Thermal) {
    assert_eq!(
        thermal.temperature(SensorId::Missing),
        Err(ThermalError::NoSensor)
    );
    assert_eq!(
        thermal.set_limit(Celsius(-300.0), true),
        Err(ThermalError::BadLimit)
    );
}

fn hubpack(thermal: &Thermal) {
    let inlet = Description {
        name: *b"inlet\0\0\0",
        place: Some(0x1234),
        kind: Kind::Air,
    };
    assert_eq!(thermal.describe(SensorId::Inlet), Ok(inlet));
    let outlet = Description {
        kind: Kind::Contact { quality: 9 },
        ..inlet
    };
    assert_eq!(thermal.describe(SensorId::Outlet), Ok(outlet));
    assert_eq!(
        thermal.describe(SensorId::Missing),
        Err(DescribeError::NoSensor { sensors: 2 })
    );
}

fn ssmarshal(thermal: &Thermal) {
    assert_eq!(thermal.range(true), (-273, None));
    assert_eq!(thermal.range(false), (-40, Some(85)));
}

fn ssmarshal_tags(thermal: &Thermal) {
    let address = core::num::NonZeroU8::new(0x4c);
    assert_eq!(thermal.place(Port::Only, Bus::I2c(3), address), 0x034c);
    assert_eq!(thermal.place(Port::Only, Bus::I2c(3), None), 0x0300);
}

fn leases(thermal: &Thermal) {
    let mut out = [0; 3];
    while thermal.history(&mut out) != Ok(3) {
        hl::sleep_for(1);
    }
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(thermal.history(&mut []), Ok(0));
    assert_eq!(thermal.load(&[1; 100]), Ok(100));
    assert_eq!(thermal.load(&[]), Ok(0));
    let mut block = Calibration {
        offset: 5,
        applied: 0,
    };
    assert!(thermal.calibrate(&mut block).is_ok());
    assert_eq!((block.offset, block.applied), (-5, 1));
}

fn later(thermal: &Thermal) {
    let first = thermal.next_sample().unwrap_lite();
    assert_eq!(thermal.next_sample(), Ok(first + 1));
}

/// After a restart of the server an idempotent operation is repeated; another one returns an error.
fn death(thermal: &Thermal) {
    let index = THERMAL.get_task_id().index();
    let count = || supervisor(2, &[index as u8]);
    let before = count();
    kipc::fault_task(index);
    assert_eq!(
        thermal.set_limit(Celsius(1.0), true),
        Err(ThermalError::ServerRestarted)
    );
    assert!(!thermal.armed());
    kipc::fault_task(index);
    assert!(!thermal.armed());
    kipc::fault_task(index);
    assert_eq!(thermal.describe(SensorId::Inlet), Err(DescribeError::Died));
    assert!(thermal.describe(SensorId::Inlet).is_ok());
    kipc::fault_task(index);
    let mut block = Calibration {
        offset: 1,
        applied: 0,
    };
    assert!(thermal.calibrate(&mut block).is_err());
    assert_eq!(count(), before + 4);
}

/// The expander calls an operation that it may not call, and is faulted.
fn restricted(_: &Thermal) {
    let (expander, thermal) = (EXPANDER.get_task_id(), THERMAL.get_task_id());
    let index = [expander.index() as u8];
    let before = supervisor(2, &index);
    let id = u32::from(thermal.0).to_le_bytes();
    assert_eq!(sys_send(expander, 6, &id, &mut [], &[]), (0, 0));
    hl::sleep_for(1);
    assert_eq!(supervisor(2, &index), before + 1);
    assert_eq!(
        supervisor(3, &index),
        ReplyFaultReason::AccessViolation as u32 + 1
    );
    assert_eq!(ThermalOperation::secret as u16, 10);
    assert_eq!(ThermalOperation::from_u32(12), None);
}

fn expander(_: &Thermal) {
    let task = EXPANDER.get_task_id();
    let mut reply = [0; 4];
    assert_eq!(
        sys_send(task, 1, &9_u32.to_le_bytes(), &mut reply, &[]),
        (0, 4)
    );
    assert_eq!(sys_send(task, 2, &[], &mut reply, &[]), (0, 4));
    assert_eq!(u32::from_le_bytes(reply), 9);
    // For a wrong size the server returns its own error, for an unknown operation code 1.
    assert_eq!(sys_send(task, 2, &[1], &mut reply, &[]), (2, 0));
    assert_eq!(sys_send(task, 2, &[], &mut [0; 3], &[]), (2, 0));
    assert_eq!(sys_send(task, 77, &[], &mut reply, &[]), (1, 0));
}

fn expander_leases(_: &Thermal) {
    let task = EXPANDER.get_task_id();
    let mut memory = [0; 8];
    let args = [0x11, 0, 0, 0, 5, 0, 0, 0];
    let filled = sys_send(task, 3, &args, &mut [], &[Lease::from(&mut memory[..])]);
    assert_eq!(filled, (0, 0));
    assert_eq!(memory, [0x11, 0x11, 0x11, 0x11, 0x11, 0, 0, 0]);
    let mut sum = [0; 4];
    assert_eq!(
        sys_send(task, 4, &[], &mut sum, &[Lease::from(&memory[..])]),
        (0, 4)
    );
    assert_eq!(u32::from_le_bytes(sum), 5 * 0x11);
    // Leases that are read-only where the server writes, too short, or missing.
    assert_eq!(
        sys_send(task, 3, &args, &mut [], &[Lease::read_only(&memory)]),
        (2, 0)
    );
    assert_eq!(
        sys_send(task, 4, &[], &mut sum, &[Lease::read_only(&memory[..7])]),
        (2, 0)
    );
    assert_eq!(sys_send(task, 4, &[], &mut sum, &[]), (2, 0));
}

fn notes(_: &Thermal) {
    let task = EXPANDER.get_task_id();
    let count = || {
        let mut reply = [0; 4];
        assert_eq!(sys_send(task, 5, &[], &mut reply, &[]), (0, 4));
        u32::from_le_bytes(reply)
    };
    let before = count();
    assert!(before >= 1, "its note to itself");
    sys_post(task, notifications::expander::NOTE_MASK);
    assert_eq!(count(), before + 1);
    assert_eq!(
        (
            notifications::thermal::SAMPLE_TIMER_BIT,
            notifications::thermal::POKE_MASK
        ),
        (0, 2)
    );
    let deadline = set_timer_relative(3, notifications::TIMER_MASK);
    let bits = sys_recv_notification(notifications::TIMER_MASK);
    assert!(bits.has_timer_fired(notifications::TIMER_MASK));
    assert!(sys_get_timer().now >= deadline);
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
