using System.Collections.Immutable;
using Calico.Actors.Protocol;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Actors.Ipam;

/// <summary>
/// What one asker wants of the lease, until it is durable. It is answered once: when its transaction has succeeded, when
/// it fails, or before, as a promise, when it is decided. A promise has no deadline and is kept until it is written.
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

    protected bool IsAway { get; private set; }

    /// <summary>What is to be written with these addresses, which it gains or gives up.</summary>
    public abstract ImmutableArray<Write> Alongside(ImmutableArray<IpAddr> addresses);

    /// <summary>Whether it takes or gives back an address of this block of another node.</summary>
    public abstract bool Needs(Cidr block);

    /// <summary>Whether it is about a particular address of this block.</summary>
    public abstract bool Names(Cidr block);

    /// <summary>Answers that it is done; the first answer counts.</summary>
    public void Succeed(ImmutableArray<IpAddr> addresses) => Answer(Success(addresses));

    /// <summary>Answers that it will be done.</summary>
    /// <param name="isAway">Not before the datastore has returned.</param>
    public virtual void Promise(ImmutableArray<IpAddr> addresses, bool isAway)
    {
        IsPromise = true;
        IsAway = isAway;
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

    /// <summary>An address of another node's block.</summary>
    /// <param name="Holder">The node that holds the block.</param>
    /// <param name="Epoch">Of the grant under which it lent the address; null if the handle has it already, whoever holds the block.</param>
    public readonly record struct Loan(IpAddr Address, string? Holder, long? Epoch);

    public sealed class Allocate(LeaseProtocol.Allocate message, Action<ILocalMessage> answer, TimeSpan deadline) : LeaseRequest(answer, deadline)
    {
        public LeaseProtocol.Allocate Message => message;
        public override string Handle => message.Request.HandleId;

        /// <summary>What to allocate: as asked, from what was lent, or once it is promised, exactly that.</summary>
        public AllocationRequest Demand { get; private set; } = message.Request;

        /// <summary>Addresses that other nodes have lent to it, at most one a family.</summary>
        public ImmutableArray<Loan> Loans { get; private set; } = [];

        /// <summary>What the datastore says of addresses in other nodes' blocks is being read.</summary>
        public bool AwaitsLoan { get; set; }

        /// <summary>Whether it had addresses in other nodes' blocks before it asked has been read.</summary>
        public bool IsLookedUp { get; set; }

        /// <summary>It may have one there already, of a transaction of which nobody knows what came: nothing is given to it before that is read.</summary>
        public bool MustLookUp { get; set; }

        /// <summary>How many other nodes have been asked for one.</summary>
        public int Asked { get; set; }

        /// <summary>The last node that was asked for one has none.</summary>
        public bool IsDenied { get; set; }

        /// <summary>The family in which no block held has room; null while that is not known.</summary>
        public IpVersion? Lacks { get; set; }

        public void Borrow(Loan loan) => Owe(Loans.RemoveAll(l => l.Address.Version == loan.Address.Version).Add(loan));

        /// <summary>The loan is worth nothing any more.</summary>
        public void Forfeit(IpAddr address) => Owe(Loans.RemoveAll(l => l.Address == address));

        private void Owe(ImmutableArray<Loan> loans)
        {
            Loans = loans;
            Demand = message.Request with
            {
                Wanted = [.. message.Request.Wanted, .. loans.Select(l => l.Address).Where(a => message.Request.WantedOf(a.Version) is null)],
            };
        }

        public override ImmutableArray<Write> Alongside(ImmutableArray<IpAddr> addresses) => message.Alongside(addresses);

        public override bool Needs(Cidr block) => Loans.Any(l => block.Contains(l.Address));

        public override bool Names(Cidr block) => Demand.Wanted.Any(block.Contains);

        public override void Promise(ImmutableArray<IpAddr> addresses, bool isAway)
        {
            Demand = Demand with { Wanted = addresses };
            base.Promise(addresses, isAway);
        }

        protected override ILocalMessage Success(ImmutableArray<IpAddr> addresses) => new LeaseProtocol.Allocated(message.RequestId, addresses, IsAway);

        protected override ILocalMessage Failure(string reason, bool retryable, bool isTaken) =>
            new LeaseProtocol.NotAllocated(message.RequestId, reason, retryable, isTaken);
    }

    public sealed class Release(LeaseProtocol.Release message, Action<ILocalMessage> answer, TimeSpan deadline) : LeaseRequest(answer, deadline)
    {
        public LeaseProtocol.Release Message => message;
        public override string Handle => message.HandleId;

        /// <summary>
        /// The blocks of other nodes that the handle has addresses in; null while that is not known and has to be looked up.
        /// </summary>
        public ImmutableArray<Cidr>? Elsewhere { get; private set; }

        /// <summary>Revision of the handle's record by which that was known, 0 if there was none; null if nobody looked at it.</summary>
        public long? HandleRevision { get; private set; }

        /// <summary>All its addresses are in blocks of this node, as these say themselves.</summary>
        public void IsHere() => Elsewhere = [];

        public void Found(ImmutableArray<Cidr> elsewhere, long handleRevision) => (Elsewhere, HandleRevision) = (elsewhere, handleRevision);

        /// <summary>What was known is of another time.</summary>
        public void LookAgain() => (Elsewhere, HandleRevision) = (null, null);

        public override ImmutableArray<Write> Alongside(ImmutableArray<IpAddr> addresses) => message.Alongside;

        public override bool Needs(Cidr block) => Elsewhere?.Contains(block) == true;

        public override bool Names(Cidr block) => message.Addresses.Any(block.Contains);

        protected override ILocalMessage Success(ImmutableArray<IpAddr> addresses) => new LeaseProtocol.Released(message.RequestId, addresses);

        protected override ILocalMessage Failure(string reason, bool retryable, bool isTaken) =>
            new LeaseProtocol.NotReleased(message.RequestId, reason);
    }
}
