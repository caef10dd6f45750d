using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// What RFC 7606 section 7 (and RFC 6793, 7607, 8092, 9234 for theirs) says about each attribute by itself: which flags it
/// has, how long it is, and what becomes of the UPDATE when it is not so. The multiprotocol attributes are judged by
/// <see cref="MpAttributes"/>, because their content decides about the session.
/// </summary>
public static class AttributeRules
{
    private const AttributeFlags WellKnown = AttributeFlags.Transitive;
    private const AttributeFlags OptionalTransitive = AttributeFlags.Optional | AttributeFlags.Transitive;
    private const AttributeFlags OptionalNonTransitive = AttributeFlags.Optional;
    private const AttributeFlags Kind = AttributeFlags.Optional | AttributeFlags.Transitive;

    /// <summary>The Optional and Transitive bits that the type must have, or null for a type unknown here.</summary>
    public static AttributeFlags? ExpectedKind(AttributeType type) => type switch
    {
        AttributeType.Origin or AttributeType.AsPath or AttributeType.NextHop or AttributeType.LocalPref
            or AttributeType.AtomicAggregate => WellKnown,
        AttributeType.MultiExitDisc or AttributeType.OriginatorId or AttributeType.ClusterList
            or AttributeType.MpReachNlri or AttributeType.MpUnreachNlri => OptionalNonTransitive,
        AttributeType.Aggregator or AttributeType.Communities or AttributeType.ExtendedCommunities
            or AttributeType.As4Path or AttributeType.As4Aggregator or AttributeType.LargeCommunities
            or AttributeType.OnlyToCustomer => OptionalTransitive,
        _ => null,
    };

    /// <summary>Judges flags and value; <see cref="AttributeProblem.None"/> has the verdict Accept.</summary>
    public static AttributeProblem Check(AttributeType type, AttributeFlags flags, ReadOnlySpan<byte> value,
        in WireContext context)
    {
        if (ExpectedKind(type) is not { } expected)
        {
            return (flags & AttributeFlags.Optional) != 0
                ? AttributeProblem.None
                : new(type, AttributeVerdict.SessionReset, UpdateError.UnrecognizedWellKnownAttribute,
                    "claims to be well-known and is not");
        }
        if (!context.Internal
            && type is (AttributeType.LocalPref or AttributeType.OriginatorId or AttributeType.ClusterList))
            return new(type, AttributeVerdict.AttributeDiscard, UpdateError.OptionalAttributeError,
                "means nothing from an external peer");
        if ((flags & Kind) != expected)
        {
            // RFC 6793 section 6 discards its two; the aggregator is discarded whatever is wrong with it.
            var verdict = type is AttributeType.As4Path or AttributeType.As4Aggregator
                ? AttributeVerdict.AttributeDiscard
                : AttributeVerdict.TreatAsWithdraw;
            return new(type, verdict, UpdateError.AttributeFlagsError, $"flags {(byte)flags:x2} do not fit the type");
        }
        return CheckValue(type, value, context);
    }

    private static AttributeProblem CheckValue(AttributeType type, ReadOnlySpan<byte> value, in WireContext context) =>
        type switch
        {
            AttributeType.Origin when value.Length != 1 => Length(type, value, AttributeVerdict.TreatAsWithdraw),
            AttributeType.Origin when value[0] > (byte)Origin.Incomplete =>
                new(type, AttributeVerdict.TreatAsWithdraw, UpdateError.InvalidOrigin, $"origin {value[0]} is undefined"),
            AttributeType.AsPath => CheckPath(type, value, context.FourOctetAs, AttributeVerdict.TreatAsWithdraw),
            AttributeType.As4Path => value.IsEmpty
                ? Length(type, value, AttributeVerdict.AttributeDiscard)
                : CheckPath(type, value, true, AttributeVerdict.AttributeDiscard),
            AttributeType.NextHop when value.Length != 4 => Length(type, value, AttributeVerdict.TreatAsWithdraw),
            AttributeType.NextHop when !IsUsableNextHop(IpAddr.FromBytes(value)) =>
                new(type, AttributeVerdict.TreatAsWithdraw, UpdateError.InvalidNextHop,
                    $"{IpAddr.FromBytes(value)} is not a host's address"),
            AttributeType.MultiExitDisc or AttributeType.LocalPref or AttributeType.OriginatorId when value.Length != 4 =>
                Length(type, value, AttributeVerdict.TreatAsWithdraw),
            AttributeType.AtomicAggregate when !value.IsEmpty => Length(type, value, AttributeVerdict.AttributeDiscard),
            AttributeType.OnlyToCustomer when value.Length != 4 => Length(type, value, AttributeVerdict.TreatAsWithdraw),
            AttributeType.Aggregator => CheckAggregator(type, value, context.FourOctetAs),
            AttributeType.As4Aggregator => CheckAggregator(type, value, true),
            AttributeType.Communities or AttributeType.ClusterList => Multiple(type, value, 4),
            AttributeType.ExtendedCommunities => Multiple(type, value, 8),
            AttributeType.LargeCommunities => Multiple(type, value, 12),
            _ => AttributeProblem.None,
        };

    /// <summary>
    /// Whether an address can be a next hop at all (RFC 4271 section 6.3). Whether it can be reached is for the RIB.
    /// </summary>
    public static bool IsUsableNextHop(IpAddr address) => !address.IsMulticast && !address.IsUnspecified
        && !(address.IsV4 && address.Low >> 24 == 0);

    private static AttributeProblem CheckPath(AttributeType type, ReadOnlySpan<byte> value, bool fourOctet,
        AttributeVerdict verdict)
    {
        if (!AsPath.IsWellFormed(value, fourOctet))
            return new(type, verdict, UpdateError.MalformedAsPath,
                "the segments do not fill the attribute, or one is empty or unknown");
        return HasZeroOrConfederation(value, fourOctet ? 4 : 2)
            ? new(type, verdict, UpdateError.MalformedAsPath, "AS 0 (RFC 7607) or a confederation segment (RFC 5065)")
            : AttributeProblem.None;
    }

    private static bool HasZeroOrConfederation(ReadOnlySpan<byte> value, int size)
    {
        while (!value.IsEmpty)
        {
            if ((SegmentType)value[0] is SegmentType.ConfedSequence or SegmentType.ConfedSet)
                return true;
            var numbers = value.Slice(2, value[1] * size);
            for (var i = 0; i < numbers.Length; i += size)
            {
                if (!numbers.Slice(i, size).ContainsAnyExcept((byte)0))
                    return true;
            }
            value = value[(2 + numbers.Length)..];
        }
        return false;
    }

    private static AttributeProblem CheckAggregator(AttributeType type, ReadOnlySpan<byte> value, bool fourOctet)
    {
        if (value.Length != (fourOctet ? 8 : 6))
            return Length(type, value, AttributeVerdict.AttributeDiscard);
        var asn = fourOctet ? BinaryPrimitives.ReadUInt32BigEndian(value) : BinaryPrimitives.ReadUInt16BigEndian(value);
        return asn == 0
            ? new(type, AttributeVerdict.AttributeDiscard, UpdateError.OptionalAttributeError, "AS 0 (RFC 7607)")
            : AttributeProblem.None;
    }

    private static AttributeProblem Multiple(AttributeType type, ReadOnlySpan<byte> value, int unit) =>
        value.IsEmpty || value.Length % unit != 0
            ? Length(type, value, AttributeVerdict.TreatAsWithdraw)
            : AttributeProblem.None;

    private static AttributeProblem Length(AttributeType type, ReadOnlySpan<byte> value, AttributeVerdict verdict) =>
        new(type, verdict, UpdateError.AttributeLengthError, $"a length of {value.Length} octets is impossible");
}
