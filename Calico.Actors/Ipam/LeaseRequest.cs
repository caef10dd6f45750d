using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Core.Ipam;
using Calico.Core.Net;

namespace Calico.Actors.Ipam;

/// <summary>
/// What one asker wants of the lease, until it is durable. It is answered once: when its transaction has succeeded, when
/// it fails, or before, as a promise, while the datastore is away. A promise has no deadline and is kept until it is written.
/// </summary>
internal abstract class LeaseRequest(Action<ILocalMessage> answer, TimeSpan deadline)
{
    public TimeSpan Deadline { get; } = deadline;
    public bool IsAnswered { get; private set; }

    /// <summary>A transaction has carried it, so the datastore may know of it.</summary>
    public bool WasSent { get; set; }

    public abstract string Handle { get; }

    /// <summary>Answered, with these addresses gained or given up, but not durable yet.</summary>
    public bool IsPromise { get; private set; }

    /// <summary>Answers that it is done; the first answer counts.</summary>
    public void Succeed(ImmutableArray<IpAddr> addresses) => Answer(Success(addresses));

    /// <summary>Answers that it will be done.</summary>
    public virtual void Promise(ImmutableArray<IpAddr> addresses)
    {
        IsPromise = true;
        Succeed(addresses);
    }

    public void Fail(string reason, bool retryable, bool isTaken = false) => Answer(Failure(reason, retryable, isTaken));

    protected abstract ILocalMessage Success(ImmutableArray<IpAddr> addresses);
    protected abstract ILocalMessage Failure(string reason, bool retryable, bool isTaken);

    private void Answer(ILocalMessage message)
    {
        if (IsAnswered)
            return;
        IsAnswered = true;
        answer(message);
    }

    public sealed class Allocate(LeaseProtocol.Allocate message, Action<ILocalMessage> answer, TimeSpan deadline) : LeaseRequest(answer, deadline)
    {
        public LeaseProtocol.Allocate Message => message;
        public override string Handle => message.Request.HandleId;

        /// <summary>What to allocate: as asked, or once it is promised, exactly that.</summary>
        public AllocationRequest Demand { get; private set; } = message.Request;

        /// <summary>The family in which no block held has room; null while that is not known.</summary>
        public IpVersion? Lacks { get; set; }

        public override void Promise(ImmutableArray<IpAddr> addresses)
        {
            Demand = Demand with { Wanted = addresses };
            base.Promise(addresses);
        }

        protected override ILocalMessage Success(ImmutableArray<IpAddr> addresses) => new LeaseProtocol.Allocated(message.RequestId, addresses);

        protected override ILocalMessage Failure(string reason, bool retryable, bool isTaken) =>
            new LeaseProtocol.NotAllocated(message.RequestId, reason, retryable, isTaken);
    }

    public sealed class Release(LeaseProtocol.Release message, Action<ILocalMessage> answer, TimeSpan deadline) : LeaseRequest(answer, deadline)
    {
        public LeaseProtocol.Release Message => message;
        public override string Handle => message.HandleId;

        protected override ILocalMessage Success(ImmutableArray<IpAddr> addresses) => new LeaseProtocol.Released(message.RequestId, addresses);

        protected override ILocalMessage Failure(string reason, bool retryable, bool isTaken) =>
            new LeaseProtocol.NotReleased(message.RequestId, reason);
    }
}
