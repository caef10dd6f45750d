namespace Calico.Node.Lab.Churn;

// The churn: container runtimes that start and stop pods without a pause, on nodes that keep failing.
//
//   FaultSchedule ──► FaultInjector ──► agents, cables, filters, the datastore       (what happens, by the seed)
//   Caller (several a node) ──► the real shim ──► agents                             (ADD, DEL, CHECK; crossing, repeated, broken off)
//        │
//        └─► PodLedger: who lives with which address, from the callers' point of view
//                 │
//   EvidenceReader: etcdctl, ip, nft ──► Examination: ledger against datastore against kernels
//
// Rounds of faults and calls; after each the callers stop, the faults heal, and everything has to agree. At the end all pods
// go, and nothing may be left of them.

/// <summary>How long, how large, and with which luck.</summary>
/// <param name="Length">Of all rounds together, without the examinations between them.</param>
/// <param name="Seed">Decides the faults and what each caller does; not how they interleave.</param>
internal sealed record ChurnOptions(int Nodes, int Pods, TimeSpan Length, int Seed, LabDatastore Datastore)
{
    public int CallersPerNode { get; init; } = 3;

    /// <summary>How long calls, faults and examinations may take to come to an end after the last fault is healed.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(4);

    /// <summary>At least two: what a first examination found right must survive a second round.</summary>
    public int Rounds => Math.Max(2, (int)Math.Ceiling(Length / TimeSpan.FromSeconds(150)));

    public TimeSpan RoundLength => Length / Rounds;
}
