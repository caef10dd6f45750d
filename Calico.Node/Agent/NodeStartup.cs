using System.Reflection;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Serilog;

namespace Calico.Node.Agent;

/// <summary>
/// What a node writes into the datastore before it takes part (facts j.1): cluster information and tiers if missing,
/// its own Node resource with address and AS, the default IPv4 pool if there is no pool at all. Every write is a
/// compare-and-swap, so nodes that start together agree.
/// </summary>
internal sealed class NodeStartup(IDatastore datastore, AgentOptions options, TimeProvider time)
{
    public const string DefaultPoolName = "default-ipv4-ippool";
    /// <summary>What the cluster information says of this program; calicoctl compares it with its own.</summary>
    private static readonly string Version = "v" + (typeof(NodeStartup).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown").Split('+')[0];

    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(2);

    private readonly ResourceStore _store = new(datastore, time);

    /// <summary>Returns once everything is written; keeps trying while the datastore is away.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                await _store.EnsureInitializedAsync(calicoVersion: Version, clusterType: options.ClusterType, cancellation: cancellation);
                await RegisterAsync(cancellation);
                await EnsurePoolAsync(cancellation);
                return;
            }
            catch (DatastoreException e) when (e.Fault is DatastoreFault.Unavailable)
            {
                Log.Warning("startup: {Cause}; trying again in {Delay}", e.Message, RetryAfter);
            }
            catch (ResourceException e) when (e.Fault is ResourceFault.Conflict or ResourceFault.AlreadyExists)
            {
                Log.Debug("startup: {Cause}; another node was faster", e.Message);
            }
            await Task.Delay(RetryAfter, time, cancellation);
        }
    }

    /// <summary>Writes the Node resource if it is missing or has another address.</summary>
    public async Task RegisterAsync(CancellationToken cancellation)
    {
        var key = new ResourceKey(ResourceKind.Node, null, options.Node);
        var stored = await _store.FindAsync<NodeResource>(key, cancellation);
        var node = stored ?? new NodeResource { Metadata = new ObjectMeta { Name = options.Node } };
        var bgp = node.Spec.Bgp ?? new NodeBGPSpec();
        var address = options.AddressV4.ToString();
        var wanted = node with
        {
            Spec = node.Spec with
            {
                Bgp = bgp with { Ipv4Address = address, AsNumber = options.AsNumber ?? bgp.AsNumber },
            },
        };
        if (wanted == stored)
            return;
        if (stored is null)
            await _store.CreateAsync(wanted, cancellation);
        else
            await _store.UpdateAsync(wanted, cancellation);
        Log.Information("node {Node} is registered with address {Address}", options.Node, address);
    }

    private async Task EnsurePoolAsync(CancellationToken cancellation)
    {
        if (options.PoolV4 is not { } cidr || (await _store.ListAsync(ResourceKind.IPPool, cancellation: cancellation)).Items.Length > 0)
            return;
        await _store.CreateAsync(new IPPool
        {
            Metadata = new ObjectMeta { Name = DefaultPoolName },
            Spec = new IPPoolSpec
            {
                Cidr = Cidr.Parse(cidr).Network.ToString(),
                BlockSize = options.PoolV4BlockSize,
                NatOutgoing = options.PoolV4NatOutgoing,
                IpipMode = EncapsulationMode.Never,
                VxlanMode = EncapsulationMode.Never,
                NodeSelector = "all()",
            },
        }, cancellation);
        Log.Information("created pool {Pool} with {Cidr}", DefaultPoolName, cidr);
    }
}
