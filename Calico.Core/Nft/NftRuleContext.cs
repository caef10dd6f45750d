using Calico.Core.Net;

namespace Calico.Core.Nft;

/// <summary>
/// What is known about every packet that reaches a term of a rule: the table's family and what the terms before it
/// demanded. A term that needs more than is known (an address in an inet table) is a bug of whoever wrote the rule.
/// </summary>
public readonly record struct NftRuleContext(NftFamily Family, IpVersion? Version = null, byte? Protocol = null)
{
    /// <summary>The packet's IP version, from the table or from a term before.</summary>
    public IpVersion? KnownVersion => Family switch
    {
        NftFamily.Ip => IpVersion.V4,
        NftFamily.Ip6 => IpVersion.V6,
        _ => Version,
    };

    /// <summary>What is known after a term has let the packet through.</summary>
    public NftRuleContext After(NftTerm term) => term switch
    {
        NftMatch.Protocol { Negate: false } p => this with { Protocol = p.Number },
        NftMatch.Icmp i => this with
        {
            Version = i.Version,
            Protocol = i.Version == IpVersion.V4 ? (byte)1 : (byte)58,
        },
        NftMatch.Family { Negate: false } f => this with { Version = f.Version },
        NftMatch.Address { Network.Version: var v } => this with { Version = v },
        _ => this,
    };
}
