using System.Text;
using Akka.TestKit.Xunit2;
using Calico.Actors.Dispatch;
using Calico.Datastore;
using Calico.Tests.Datastore;
using Microsoft.Extensions.Time.Testing;
using Xunit.Abstractions;

namespace Calico.Tests.Actors;

/// <summary>One actor under test over a datastore in memory, with a clock that the test moves.</summary>
public abstract class ActorFixture(ITestOutputHelper output) : TestKit(Hocon, "actors", output)
{
    private const string Hocon = StartedTimers.Hocon + """
        akka.loglevel = DEBUG
        akka.actor.guardian-supervisor-strategy = "Calico.Actors.NodeSupervisorStrategy, Calico.Actors"
        akka.actor.serialize-messages = off
        akka.suppress-json-serializer-warning = on
        """;

    protected InMemoryDatastore Store { get; } = new();

    protected JumpingClock Clock { get; } = new();

    protected Task<TransactionResult> PutAsync(string key, string value) => PutAsync(key, Encoding.UTF8.GetBytes(value));

    protected Task<TransactionResult> PutAsync(string key, byte[] value) =>
        Store.CommitAsync(new Transaction([], [Write.Put(key, value)]));

    protected Task<TransactionResult> DeleteAsync(string key) => Store.CommitAsync(new Transaction([], [Write.Delete(key)]));

    /// <summary>Lets the next transactions fail in a way that says nothing about their outcome.</summary>
    /// <param name="times">How often.</param>
    /// <param name="happens">Whether they are carried out all the same.</param>
    protected void FailCommits(int times, bool happens)
    {
        var left = times;
        Store.BeforeCommit = async transaction =>
        {
            if (Interlocked.Decrement(ref left) < 0)
                return;
            if (happens)
            {
                var hook = Store.BeforeCommit;
                Store.BeforeCommit = null;
                await Store.CommitAsync(transaction);
                Store.BeforeCommit = hook;
            }
            throw new DatastoreException(DatastoreFault.Unavailable, "no endpoint answered in 15 s");
        };
    }
}

/// <summary>A clock that the test moves, and whose wall time it can set elsewhere, as an administrator does.</summary>
public sealed class JumpingClock() : FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(55))
{
    public TimeSpan Jump { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Jump;

    // The base takes it from the wall time.
    public override long GetTimestamp() => base.GetTimestamp() - Jump.Ticks;
}
