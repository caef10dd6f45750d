using Calico.Actors.Ipam;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Tests.Actors.Ipam;

/// <summary>One node of the world.</summary>
internal sealed partial class LeaseModel
{
    /// <param name="name">Its name.</param>
    public sealed class Node
    {
        public Node(string name)
        {
            Name = name;
            Ledger = new LeaseLedger(name, new LeaseOptions(), InUse);
            Departures = new Departures(name);
        }

        public string Name { get; }
        public AddressesInUse InUse { get; private set; } = new();
        public LeaseLedger Ledger { get; private set; }
        public KnownHandles Handles { get; } = new();

        /// <summary>Pods that run here, with their address.</summary>
        public SortedDictionary<string, IpAddr> Pods { get; } = new(StringComparer.Ordinal);

        /// <summary>A transaction that was sent and has not arrived.</summary>
        public (LeaseCommit Commit, Transaction Transaction)? Sent { get; set; }

        /// <summary>Transactions that the node has given up and that may arrive yet.</summary>
        public List<Transaction> Late { get; } = [];

        /// <summary>The blocks that it gives back; outlives the lease.</summary>
        public Departures Departures { get; private set; }

        /// <summary>First steps of giving a block back that have not arrived.</summary>
        public List<HeldBlock> Leaves { get; } = [];

        /// <summary>What the owners of blocks have been asked and have not done yet, and what they answered.</summary>
        public List<BlockProtocol.ReleaseBlock> Orders { get; } = [];
        public List<object> Answers { get; } = [];

        /// <summary>What was read when the reading began that is under way.</summary>
        public LeaseStore.View? Reading { get; set; }

        /// <summary>It has to read once more then.</summary>
        public bool ReadsAgain { get; set; }

        /// <summary>What was read of single blocks and handles, on its way to the lease: each says whether it is done with.</summary>
        public List<Func<bool>> Mail { get; } = [];
        public HashSet<LeaseRequest> LookingUp { get; } = [];

        public bool KnowsItsBlocks => Reading is null && Ledger.IsLoaded;

        /// <summary>Addresses that are kept for borrowers.</summary>
        public Lending Lending { get; private set; } = new();

        /// <summary>Its process is another; what pods use is all that is left.</summary>
        public void BeginAgain()
        {
            InUse = new AddressesInUse();
            Ledger = new LeaseLedger(Name, new LeaseOptions(), InUse);
            Departures = new Departures(Name);
            Lending = new Lending();
            Mail.Clear();
            Forget();
        }

        /// <summary>Its lease is another, in the same process.</summary>
        public void Succeed()
        {
            var from = Ledger.Resign("the lease starts again");
            Ledger = new LeaseLedger(Name, new LeaseOptions(), InUse);
            Ledger.Inherit(from);
            Lending = new Lending();
            Forget();
        }

        private void Forget()
        {
            Handles.Forget();
            LookingUp.Clear();
            Reading = null;
        }
    }
}
