// Package crash kills, stops and starves the real binary, and then counts: every event that was issued must have arrived.
//
// A producer (producer.go) appends numbered events to a file that is tailed and rotated. Their bytes follow from the seed
// and the number, so that what arrives can be checked byte by byte. A driver (rig.go) runs the binary as a child and does
// to it what a seed says (faults.go). The oracle (oracle.go) knows what was issued, what the checkpoint on disk said at
// each kill, and what arrived (delivery.go, receiver.go, directory.go). At the end it wants:
//
//   - each event at least once in each sink that its kind should reach, and never in another;
//   - its bytes exactly;
//   - twice only if a process ended without a drain while the checkpoint was below the event, and once more for each such end;
//   - events of one key from one file in order, repetitions aside;
//   - whole lines only, and no temporary files in the state directory;
//   - a ledger that balances at each orderly end;
//   - counters in `state` that count each event once, whatever was killed;
//   - new events at every sink within ten seconds of the end of each fault.
//
// What is not injected: steps of the machine's clock (only the times of files are set into past and future), loss of
// power (a killed process leaves what it wrote with the kernel), truncation of the followed file, and a reader of a
// socket that throws away what the kernel holds for it: no sender of a stream can know of that.
package crash
