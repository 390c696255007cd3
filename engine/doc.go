// Package engine moves events from inputs through Lua scripts to outputs. This file is the architecture document.
//
// # The route of an event
//
//	source ─▶ input ─▶ filter ─▶ analyzer ─▶ analyzer ─▶ output ─▶ sink
//	          (Go)     N shards   M shards     K shards    (Go)
//	             ◀───────────── ack, once per record ───────────────
//
// A line is appended to eve.json. The input (engine/input/tail) reads it and emits it, together with what else the same
// read returned, as a Batch of Records. The gate admits the batch when the records in flight leave room: this is the
// backpressure that reaches the source. The engine makes Events of the records and pushes them to the queue of a shard of
// the input's filter. The shard's worker takes all that is queued, validates and indexes each event in one pass
// (engine/lazyjson) and calls the script's loop(event). What the script emits is collected in Results; when a slice of
// events is through, the outbox pushes the results to the queues of analyzers and outputs, in batches. So no channel
// operation happens inside Lua, and a script that fails has sent nothing for that event. An output writes batches to its
// sink. When the last event that was derived from a record is written, dropped or dead-lettered the record is finished;
// when all records of a batch are, its Done is called and the input's checkpoint may move.
//
// # An event is its bytes
//
// Event.Body is an immutable JSON text. luabind shows it to scripts as a table that decodes only what is touched; a write
// is remembered and spliced into a copy of the bytes when the event is emitted. What no script touches leaves the engine
// byte for byte as it came. Event.Index, the places of the top-level fields, is made once, by the filter's worker, which
// also is where malformed records part: they go to the dead letter and no script sees them.
//
// # Queues, the gate, cycles
//
// A queue (queue.go) is a slice that writers append to and its one reader swaps for an empty one: batches grow under load
// and have size 1 without it. Queues have no bound of their own, so that a send between stages never blocks and scripts
// may route in circles without a deadlock. The bound is at the inputs: max_in_flight records and bytes between the
// reading and the ack (gate.go). Scripts can multiply events beyond that bound; then only the stages whose next event has
// come furthest go on, and none while an output has something to write. The pipeline then works depth first, what is queued
// grows with the depth of the fan-out and not with its breadth, and as something can always go on there is no deadlock.
// An event that passed MaxHops stages is dead-lettered as a loop, and a record from which more than MaxFanOut events were
// derived as an avalanche.
//
// # Shards and order
//
// A stage has `workers` shards; each has a queue, a goroutine and an interpreter of its own that nobody else touches.
// With shard_by, events of equal key meet in one shard and keep their order through the stage; without it batches go
// round robin. With one worker, the default, a script sees every event in order. Stages run side by side, so a chain of
// scripts with one worker each still uses as many cores as it has stages.
//
// # The ledger
//
// Per input: read = delivered + dropped + dead-lettered{reason} + in flight (ledger.go). The books are kept per record,
// not per event: a record is delivered if anything derived from it was, and dead-lettered if anything derived from it was,
// whatever else happened. Accounting costs no lock and, per event, no atomic operation that two cores share: a record's
// counters are its own, and batches are booked when they are finished. Events that scripts make without a record (timers,
// setup, finish) are booked under "timer". The ledger is in /ledger, /metrics, the stats log and the report at exit.
//
// An output with a spool (sink_spool.go, engine/spool) delivers a record when its events are on the disk: what becomes of them
// there, delivery later, at the next start, or a refusal that ends in the dead letter, is in the output's metrics, not in
// the ledger. While the sink works and the spool is empty events do not touch the disk.
//
// # At least once
//
// An output acks what its sink has. A sink that fails is tried again with backoff (sink.go) while the gate fills and the
// inputs stop reading. What the sink refuses for good (RejectError) and what a script fails on goes to the dead-letter
// output, which is an output like any other. Checkpoints (checkpoint.go) hold, per source file, its identity and the offset
// below which everything is acked; they are written atomically every second and at the end of Run. After a crash the inputs
// resume there: nothing is lost, at most a second of records comes twice.
//
// # State of scripts
//
// A script may keep a table over restarts (luabind/state.go). It is saved in the checkpoint file, with the positions below
// which lies just what it has handled (commit.go): once a second the gate is held, the pipeline comes to rest, each worker
// encodes its table, and the gate opens again. So its counters are exact after a crash, whatever comes twice. A pipeline
// without such scripts saves its positions without resting.
//
// # State that moves
//
// The partitions of a Kafka topic go from process to process, and the state of scripts goes with them (partition.go). A Partition has
// a script of its own in each stage that keeps state; Batch.Partition says whose events they are, and with that which worker and
// which script have them. Instead of the whole pipeline one partition comes to rest, in Save: its input emits nothing, its events
// in flight are finished, its timers wait, and the workers encode its states. The input (engine/input/kafka) writes them with
// the offset as one value to a Redis, in a step that refuses a writer that is no longer the owner, and only then lets Kafka
// commit. Finish does the same for good, after the last timers and finish(). What is read comes from the snapshot's offset on,
// so what is not in a snapshot comes again, and is counted once. The command `state` reads and edits what lies there through the
// input, a StateHolder (kept.go).
//
// # Scripts that fail
//
// An event on which a script fails goes to the dead letter. A script that fails again and again, or burns time in calls that
// a limit stops, is taken out by its shard's breaker (breaker.go) and tried again later, beside the worker.
//
// # Dead letters come back
//
// What failed is in the dead-letter file with the stage where it did (engine/deadletter). The command `dragonfly dead-letter
// replay` writes a request into the state directory; the engine's own input "replay" (replay.go) reads it, sends each event to
// that stage, waits until the batch is finished, puts its progress on the disk, and goes on. So a crash repeats one batch at most.
//
// # State that scripts share
//
// Globals belong to one worker. What workers share, or what outlives the process, is in Redis or in the embedded store
// (engine/store), which answers the same commands in process, under the locks of the shards that hold a command's keys. Scripts reach either through luabind's
// modules hiredis and redis; store.Client is what both implement. A server that is away is waited for inside the command (engine/store/remote), so the worker, its queue,
// the gate and at last the source wait with it. The command opens the store before the process gives up its rights and closes it after the
// last engine: reloads do not touch it.
//
// # Packets
//
//	frame ─▶ packet.Decoder ─▶ flow.Meter ─▶ app.Conn ─▶ EVE events ─▶ emit
//
// The inputs flow:// (AF_PACKET rings) and pcap:// (capture files) make the events that Suricata would: a Decoder
// (engine/packet) takes frames apart, through tags, tunnels and fragments, into packets; a Meter (engine/flow) keeps the table of
// bidirectional flows, and gives payloads to the flow's Conn (engine/app), which recognises the protocol and reports names,
// requests, certificates and fingerprints. Each worker of such an input has its own Decoder and Meter, which share nothing: the
// kernel (by a filter for each ring) or the reader spreads packets by a symmetric hash of the addresses. Flows are pointer-free
// and in slabs beside Go's heap, so that the garbage collector neither sees them nor waits for as much garbage; the table is bounded
// in bytes, and evicts unanswered flows first. What was malformed, not metered or evicted is counted by kind: packets in =
// packets in flows + counted.
//
// Metering a file is deterministic: the checkpoint of pcap:// is how many of its events are acked, and after a crash it is
// metered again without emitting those. A live source cannot wait: what the ring loses the kernel counts, and the counter is in
// the ledger's metrics.
//
// # Life of an engine
//
// New checks and wires; Open opens inputs and outputs, loads scripts and runs setup() - all that may need rights or paths
// that the process is about to give up; Run moves events. Its end needs no flags: inputs stop, the gate falls idle,
// pending one-shot timers fire, finish() of every script runs stage by stage, queues are closed behind their last writer,
// workers and outputs end, checkpoints are saved. After drain_timeout what is left stays unacked. Swap puts new scripts in
// place between two events; for a changed config.lua the command drains this engine and hands its open inputs and outputs
// to the next.
//
// # Where things are
//
//	cmd/dragonfly      flags, signals, chroot and privileges, the list of components
//	engine             this package; imports the standard library only
//	engine/lazyjson    validates and indexes JSON
//	engine/input/*     one package per scheme; import engine (and engine/input/lines), never each other
//	engine/output/*    one package per scheme; import engine
//	engine/wire        what inputs and outputs that talk over the network have in common: TLS, templates with fields, Kafka, Redis, NATS, Fluent
//	engine/packet      frames into packets; engine/packet/pcap: capture files; engine/packet/filter: BPF expressions
//	engine/flow        packets into flows and EVE events; engine/flow/feature: feature vectors; engine/app: what is in the streams
//	engine/store       the embedded store; engine/store/remote: Redis servers
//	engine/model       evaluates trained models; engine/domain: names; engine/sketch: statistics in bounded memory
//	engine/deadletter  dead letters: reading them, what was done with them, requests to replay them
//	engine/durable     files that a crash cannot tear; engine/spool: events on disk while a sink is down
//	luabind            config.lua, interpreters, the lazy view, Lua modules; the only one that imports gopher-lua
//	test/parts, rig    what tests have in common: servers that they start; inputs and outputs without an engine
package engine
