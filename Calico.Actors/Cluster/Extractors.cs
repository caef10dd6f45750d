using System.Globalization;
using Akka.Cluster.Sharding;
using Calico.Actors.Ipam;
using Calico.Actors.Policy;

namespace Calico.Actors.Cluster;

/// <summary>Which entity a message is for: the block, node or policy that it names.</summary>
internal sealed class EntityExtractor(int shards) : HashCodeMessageExtractor(shards)
{
    public override string? EntityId(object message) => message switch
    {
        IWithBlock b => b.Block.ToString().Replace('/', '-'),
        IWithNode n => n.Node,
        IWithPolicy p => Uri.EscapeDataString(p.PolicyKey),
        _ => null,
    };

    public static string PolicyKeyOf(string entityId) => Uri.UnescapeDataString(entityId);

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{MaxNumberOfShards} shards");
}
