package engine

const faultHead = `# Faults

Written by ` + "`go test ./internal/engine -run Fault -update`" + ` and checked by ` + "`go test ./... -run Fault`" + `. Each run below is gone through once in the engine's
simulated world, and every write of it is taken from the world's own log. Then it is gone through again for each write
and each fate: the runner is dead right before it or right after it, its reply is lost after it took effect, or it fails
without effect. From the moment of its death the world refuses everything from that process. Afterwards, once the leases
are stale, a fresh process of the same owner goes on (` + "`octopatch run`" + ` unless the section says otherwise); in the
column "dead-man" the hosts' switches look every five minutes all the while, in the other one they are off. A cell is the
exit code of that last process; behind a + stands how many writes the dead process still tried, besides those that let go. It may try to write down
where it stands, to let go, and to undo what it did to a node that serves: anything else fails the cell. A process whose reply
was lost, or whose write failed, has itself ended in the exit code that it has without that.

After each cell every node serves, is not drained, has its start type and watchdog as before, no journal, no lease, no
switch, no copy, no snapshot; Maintenance Mode is as before; no update was installed twice (but for those that a revert
took back) and no host was rebooted with nothing pending; Octopus' database has the content that it had, and its log is
the old one with what Octopus itself has written since. No switch fires under a run that lives; after the wait the switch
has started every service that a dead run has left stopped, and drain and Maintenance Mode are as that run left them.
The test fails for a broken one, and for a write without a row.

The fakes of this world stand for scripts and servers. ` + "`TestFaultWritesOfTheWorld`" + ` (cmd/octopatch) goes through these runs in
the rehearsal's world, over HTTP and WS-Management, and holds its log of writes against the rows: the same writes in the
same order (but for the rounds of "failed update", because the updates are others). ` + "`TestFaultMatrixOfPrecautions`" + ` tries
the writes of Hyper-V, disk images and restore points there, which are one "precaution" here. ` + "`TestFaultMatrixOfTheWorld`" + ` goes through the cells of "run" of both topologies there,
some of both with ` + "`go test`" + `, a hundred with ` + "`.ci/run`" + `, all with ` + "`-cells 0`" + `; ` + "`TestKilledAtAWrite`" + ` kills processes with kill -9. An installation or
download whose reply is lost or that fails to begin is followed or begun again by the adapter (internal/winhost), so the
engine never sees it: here such a fate has no effect, there it has.

A cell has one fate in one run. ` + "`TestFaultSequences`" + ` draws what comes one after the other: up to four processes, each with a command,
a fate, perhaps an interrupt, a veto or another owner, and between them minutes or days, switches that fire, hosts and services that fail,
machines that people restart or revert. Once all is repaired, whoever types what the last line says comes to a cluster that is patched and as
it was: a thousand of them with ` + "`go test`" + `, twenty thousand with ` + "`.ci/run`" + `.
`
