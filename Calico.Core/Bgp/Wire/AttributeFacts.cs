using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>Yes-or-no facts about an attribute set.</summary>
[Flags]
public enum AttributeTraits : ushort
{
    None = 0,
    HasMed = 1,
    HasLocalPref = 2,
    HasOriginatorId = 4,
    NoExport = 8,
    NoAdvertise = 16,
    NoExportSubconfed = 32,
    LlgrStale = 64,
    NoLlgr = 128,
    OnlyToCustomer = 256,
}

/// <summary>
/// What the decision process and the export rules ask of an attribute set, read once when the set is interned.
/// </summary>
public readonly record struct AttributeFacts(Origin Origin, AttributeTraits Traits, ushort Hops,
    ushort ClusterListLength,
    uint NeighbourAs, uint Med, uint LocalPref, RouterId OriginatorId)
{
    /// <summary>What LOCAL_PREF is where a route has none.</summary>
    public const uint DefaultLocalPref = 100;

    public bool Has(AttributeTraits trait) => (Traits & trait) != 0;

    /// <summary>Reads a canonical set.</summary>
    public static AttributeFacts Of(ReadOnlySpan<byte> canonical)
    {
        Origin origin = Origin.Incomplete;
        AttributeTraits traits = 0;
        int hops = 0, clusters = 0;
        uint neighbour = 0, med = 0, localPref = DefaultLocalPref, originator = 0;
        var r = new AttributeReader(canonical);
        while (r.TryRead(out _, out var type, out var value))
        {
            switch (type)
            {
                case AttributeType.Origin:
                    origin = (Origin)value[0];
                    break;
                case AttributeType.AsPath:
                    hops = AsPath.CountHops(value);
                    neighbour = AsPath.FirstAs(value);
                    break;
                case AttributeType.MultiExitDisc:
                    med = BinaryPrimitives.ReadUInt32BigEndian(value);
                    traits |= AttributeTraits.HasMed;
                    break;
                case AttributeType.LocalPref:
                    localPref = BinaryPrimitives.ReadUInt32BigEndian(value);
                    traits |= AttributeTraits.HasLocalPref;
                    break;
                case AttributeType.Communities:
                    traits |= TraitsOf(value);
                    break;
                case AttributeType.OriginatorId:
                    originator = BinaryPrimitives.ReadUInt32BigEndian(value);
                    traits |= AttributeTraits.HasOriginatorId;
                    break;
                case AttributeType.OnlyToCustomer:
                    traits |= AttributeTraits.OnlyToCustomer;
                    break;
                case AttributeType.ClusterList:
                    clusters = value.Length / 4;
                    break;
            }
        }
        return new(origin, traits, (ushort)hops, (ushort)clusters, neighbour, med, localPref, new RouterId(originator));
    }

    private static AttributeTraits TraitsOf(ReadOnlySpan<byte> communities)
    {
        AttributeTraits traits = 0;
        for (var i = 0; i + 4 <= communities.Length; i += 4)
        {
            traits |= BinaryPrimitives.ReadUInt32BigEndian(communities[i..]) switch
            {
                WellKnownCommunity.NoExport => AttributeTraits.NoExport,
                WellKnownCommunity.NoAdvertise => AttributeTraits.NoAdvertise,
                WellKnownCommunity.NoExportSubconfed => AttributeTraits.NoExportSubconfed,
                WellKnownCommunity.LlgrStale => AttributeTraits.LlgrStale,
                WellKnownCommunity.NoLlgr => AttributeTraits.NoLlgr,
                _ => AttributeTraits.None,
            };
        }
        return traits;
    }
}
