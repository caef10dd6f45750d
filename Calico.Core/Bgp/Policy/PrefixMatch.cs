using Calico.Core.Net;

namespace Calico.Core.Bgp.Policy;

/// <summary>How a prefix relates to a CIDR.</summary>
public enum MatchOperator
{
    In,
    NotIn,
    Equal,
    NotEqual,
}

/// <summary>
/// A condition on a prefix. The lengths belong to the set of prefixes that the CIDR names, so that the Not operators
/// mean all others.
/// </summary>
public readonly record struct PrefixMatch(Cidr Cidr, MatchOperator Operator, byte MinLength, byte MaxLength)
{
    public bool Matches(Cidr prefix)
    {
        var hasLength = prefix.PrefixLength >= MinLength && prefix.PrefixLength <= MaxLength;
        return Operator switch
        {
            MatchOperator.In => hasLength && Cidr.Contains(prefix),
            MatchOperator.NotIn => !(hasLength && Cidr.Contains(prefix)),
            MatchOperator.Equal => hasLength && Cidr == prefix,
            _ => !(hasLength && Cidr == prefix),
        };
    }
}
