using System.Text.Json.Serialization;
using Calico.Core.Model.Schema;
using Calico.Core.Net;

namespace Calico.Core.Model.Resources;

/// <summary>Route filters that peers name; the first rule that matches a route decides.</summary>
public sealed record BGPFilter() : Resource(ResourceKind.BGPFilter)
{
    public BGPFilterSpec Spec { get; init => field = value ?? new(); } = new();
}

public sealed record BGPFilterSpec : ModelObject
{
    public ValueList<BGPFilterRuleV4> ExportV4 { get; init; }
    public ValueList<BGPFilterRuleV4> ImportV4 { get; init; }
    public ValueList<BGPFilterRuleV6> ExportV6 { get; init; }
    public ValueList<BGPFilterRuleV6> ImportV6 { get; init; }
}

/// <summary>Every condition that is there must hold; an accepted route is changed by the operations in order.</summary>
public abstract record BGPFilterRule : ModelObject
{
    [JsonIgnore]
    public abstract string? Cidr { get; init; }

    [JsonIgnore]
    public abstract BGPFilterPrefixLength? PrefixLength { get; init; }

    [OneOf("RemotePeers")]
    [JsonPropertyOrder(2)]
    public string? Source { get; init; }

    /// <summary>The route's interface; may hold <c>*</c>.</summary>
    [Format(FieldFormat.BgpFilterInterface)]
    [JsonPropertyOrder(3)]
    public string? Interface { get; init; }

    /// <summary>How the route relates to <see cref="Cidr"/>.</summary>
    [OneOf("Equal", "NotEqual", "In", "NotIn")]
    [JsonPropertyOrder(4)]
    public string? MatchOperator { get; init; }

    [OneOf("eBGP", "iBGP")]
    [JsonPropertyOrder(5)]
    public string? PeerType { get; init; }

    [JsonPropertyOrder(6)]
    public BGPFilterCommunityMatch? Communities { get; init; }

    /// <summary>The AS path starts with these.</summary>
    [JsonPropertyOrder(7)]
    public ValueList<Asn> AsPathPrefix { get; init; }

    [Between(1, 2147483646)]
    [JsonPropertyOrder(8)]
    public int? Priority { get; init; }

    [RequiredField]
    [OneOf("Accept", "Reject")]
    [JsonPropertyOrder(9)]
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public string? Action { get; init; }

    [Items(10)]
    [JsonPropertyOrder(10)]
    public ValueList<BGPFilterOperation> Operations { get; init; }
}

public sealed record BGPFilterRuleV4 : BGPFilterRule
{
    [MaxLength(18)]
    [Format(FieldFormat.NetV4)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public override string? Cidr { get; init; }

    [PrefixLengths(32)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    [JsonPropertyOrder(1)]
    public override BGPFilterPrefixLength? PrefixLength { get; init; }
}

public sealed record BGPFilterRuleV6 : BGPFilterRule
{
    [MaxLength(43)]
    [Format(FieldFormat.NetV6)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public override string? Cidr { get; init; }

    [PrefixLengths(128)]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    [JsonPropertyOrder(1)]
    public override BGPFilterPrefixLength? PrefixLength { get; init; }
}

/// <summary>Bounds of the route's prefix length; needs a CIDR.</summary>
public sealed record BGPFilterPrefixLength : ModelObject
{
    public int? Min { get; init; }
    public int? Max { get; init; }
}

public sealed record BGPFilterCommunityMatch : ModelObject
{
    /// <summary>The one community that the route must carry.</summary>
    [RequiredField]
    [Items(1, Min = 1)]
    [MaxLength(32)]
    [Format(FieldFormat.BgpCommunity)]
    public ValueList<string> Values { get; init; }
}

/// <summary>Exactly one of the fields is set.</summary>
public sealed record BGPFilterOperation : ModelObject
{
    public BGPFilterAddCommunity? AddCommunity { get; init; }
    public BGPFilterPrependASPath? PrependASPath { get; init; }
    public BGPFilterSetPriority? SetPriority { get; init; }
}

public sealed record BGPFilterAddCommunity : ModelObject
{
    [RequiredField]
    [MaxLength(32)]
    [Format(FieldFormat.BgpCommunity)]
    public string? Value { get; init; }
}

public sealed record BGPFilterPrependASPath : ModelObject
{
    [RequiredField]
    [Items(10, Min = 1)]
    public ValueList<Asn> Prefix { get; init; }
}

public sealed record BGPFilterSetPriority : ModelObject
{
    [RequiredField]
    [Between(1, 2147483646)]
    public int? Value { get; init; }
}
