using System.Buffers.Binary;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>
/// A decoded UPDATE. The spans lie in the message and in the decoder, and live until its next call.
/// </summary>
public ref struct UpdateView
{
    /// <summary>Withdrawn IPv4 routes, an NLRI field (empty where IPv4 is not exchanged).</summary>
    public ReadOnlySpan<byte> Withdrawn { get; internal set; }

    /// <summary>Announced IPv4 routes, an NLRI field.</summary>
    public ReadOnlySpan<byte> Announced { get; internal set; }

    /// <summary>Families whose NLRI fields have path identifiers.</summary>
    public Families PathIds { get; internal set; }

    /// <summary>The next hop of <see cref="Announced"/>.</summary>
    public IpAddr NextHop { get; internal set; }

    /// <summary>The routes in the multiprotocol attributes.</summary>
    public MpAttributes Multiprotocol { get; internal set; }

    /// <summary>The attributes in canonical form (<see cref="CanonicalAttributes"/>).</summary>
    public ReadOnlySpan<byte> Attributes { get; internal set; }

    /// <summary>The worst thing wrong; with TreatAsWithdraw all announced routes count as withdrawn.</summary>
    public AttributeVerdict Verdict { get; internal set; }

    /// <summary>The family whose initial routes are complete with this message (RFC 4724 section 2).</summary>
    public Families EndOfRib { get; internal set; }
}

/// <summary>
/// Decodes UPDATE messages (RFC 4271 section 4.3) with the error handling of RFC 7606.
/// <code>
///  +-------------------------------+
///  |    Withdrawn routes length    |   withdrawn routes (IPv4 prefixes)
///  +-------------------------------+
///  |    Path attributes length     |   path attributes
///  +-------------------------------+
///  |  announced IPv4 prefixes up to the end of the message
/// </code>
/// One decoder serves one reader at a time: it keeps its buffers between messages and allocates nothing per prefix.
/// </summary>
public sealed class UpdateDecoder
{
    private readonly record struct Slot(AttributeType Type, AttributeFlags Flags, int Start, int Length);

    private readonly Slot[] _slots = new Slot[256];
    private readonly List<AttributeProblem> _problems = [];
    private int _count;
    private byte[] _canonical = new byte[512];
    private byte[] _path = new byte[256];

    /// <summary>Everything that was wrong with the last message, in the order of its attributes.</summary>
    public IReadOnlyList<AttributeProblem> Problems => _problems;

    /// <summary>
    /// False means session reset; what is less than that is in <see cref="UpdateView.Verdict"/> and
    /// <see cref="Problems"/>.
    /// </summary>
    public bool TryDecode(ReadOnlySpan<byte> body, in WireContext context, out UpdateView update,
        out NotificationError? error)
    {
        update = default;
        error = null;
        _problems.Clear();
        _count = 0;
        var r = new WireReader(body);
        if (!r.TryReadUInt16(out var withdrawnLength) || !r.TryReadBytes(withdrawnLength, out var withdrawn)
            || !r.TryReadUInt16(out var attributesLength) || !r.TryReadBytes(attributesLength, out var attributes))
            return Fail(UpdateError.MalformedAttributeList, "the length fields exceed the message", out error);
        var announced = r.Rest;
        var pathIds = context.PathIdsIn.Has(Families.Ipv4Unicast);
        if (!Nlri.IsWellFormed<Prefix4>(withdrawn, pathIds) || !Nlri.IsWellFormed<Prefix4>(announced, pathIds))
            return Fail(UpdateError.InvalidNetworkField, "a prefix does not fit", out error);

        MpAttributes mp = default;
        if (!TryWalk(attributes, context, ref mp, out error))
            return false;
        CheckMandatory(!announced.IsEmpty, mp);
        var verdict = Worst();
        if (verdict == AttributeVerdict.TreatAsWithdraw && announced.IsEmpty && !mp.HasReach)
        {
            // RFC 7606 section 5.2: the routes that the broken attributes belong to cannot be told.
            var first = _problems.Find(p => p.Verdict == AttributeVerdict.TreatAsWithdraw);
            return Fail(first.Subcode, $"{first}, and the message names no route to withdraw", out error);
        }

        update.Verdict = verdict;
        update.PathIds = context.PathIdsIn;
        update.Multiprotocol = mp;
        if (context.Families.Has(Families.Ipv4Unicast))
        {
            update.Withdrawn = withdrawn;
            update.Announced = announced;
        }
        if (verdict < AttributeVerdict.TreatAsWithdraw && (!announced.IsEmpty || mp.HasReach))
        {
            update.NextHop = Find(AttributeType.NextHop) is { } slot
                ? IpAddr.FromBytes(attributes.Slice(slot.Start, slot.Length))
                : default;
            update.Attributes = Canonicalise(attributes, context.FourOctetAs);
        }
        update.EndOfRib = EndOfRib(body, attributes, mp);
        return true;
    }

    private bool TryWalk(ReadOnlySpan<byte> attributes, in WireContext context, ref MpAttributes mp,
        out NotificationError? error)
    {
        error = null;
        var seen = new SeenTypes();
        var r = new AttributeReader(attributes);
        var start = 0;
        for (; r.TryRead(out var flags, out var type, out var value); start = r.Position)
        {
            var multiprotocol = type is AttributeType.MpReachNlri or AttributeType.MpUnreachNlri;
            if (!seen.Add(type))
            {
                if (multiprotocol)
                    return Fail(UpdateError.MalformedAttributeList, $"attribute {(byte)type} appears twice", out error);
                _problems.Add(new(type, AttributeVerdict.AttributeDiscard, UpdateError.MalformedAttributeList,
                    "appears twice, the first counts"));
                continue;
            }
            var problem = AttributeRules.Check(type, flags, value, context);
            var mpError = type switch
            {
                AttributeType.MpReachNlri => mp.ReadReach(value, context),
                AttributeType.MpUnreachNlri => mp.ReadUnreach(value, context),
                _ => null,
            };
            if (mpError is not null)
                problem = new(type, AttributeVerdict.SessionReset, UpdateError.OptionalAttributeError, mpError);
            if (problem.Verdict == AttributeVerdict.SessionReset)
            {
                error = NotificationError.Of(ErrorCode.UpdateMessage, problem.Subcode, attributes[start..r.Position],
                    problem.ToString());
                return false;
            }
            if (problem.Verdict != AttributeVerdict.Accept)
                _problems.Add(problem);
            else if (!multiprotocol && IsKept(type, flags))
                _slots[_count++] = new(type, flags, r.Position - value.Length, value.Length);
        }
        if (!r.AtEnd)
        {
            // RFC 7606 section 4: the announced prefixes can still be found, so they are withdrawn.
            _problems.Add(new(default, AttributeVerdict.TreatAsWithdraw, UpdateError.MalformedAttributeList,
                "the last attribute runs over the end of the attributes"));
        }
        if (mp.ReachFamily != Families.None && !AttributeRules.IsUsableNextHop(mp.NextHop))
        {
            _problems.Add(new(AttributeType.MpReachNlri, AttributeVerdict.TreatAsWithdraw,
                UpdateError.OptionalAttributeError,
                $"next hop {mp.NextHop} is not a host's address"));
        }
        return true;
    }

    // An unknown optional attribute is passed on only if it is transitive.
    private static bool IsKept(AttributeType type, AttributeFlags flags) =>
        AttributeRules.ExpectedKind(type) is not null || (flags & AttributeFlags.Transitive) != 0;

    private void CheckMandatory(bool classicRoutes, in MpAttributes mp)
    {
        if (!classicRoutes && mp.ReachFamily == Families.None)
            return;
        Require(AttributeType.Origin);
        Require(AttributeType.AsPath);
        if (classicRoutes)
            Require(AttributeType.NextHop);
    }

    private void Require(AttributeType type)
    {
        if (Find(type) is not null)
            return;
        foreach (var p in _problems)
        {
            if (p.Type == type && p.Verdict == AttributeVerdict.TreatAsWithdraw)
                return;
        }
        _problems.Add(new(type, AttributeVerdict.TreatAsWithdraw, UpdateError.MissingWellKnownAttribute, "is missing"));
    }

    private Slot? Find(AttributeType type)
    {
        foreach (ref readonly var slot in _slots.AsSpan(0, _count))
        {
            if (slot.Type == type)
                return slot;
        }
        return null;
    }

    private AttributeVerdict Worst()
    {
        var worst = AttributeVerdict.Accept;
        foreach (var p in _problems)
            worst = p.Verdict > worst ? p.Verdict : worst;
        return worst;
    }

    private static Families EndOfRib(ReadOnlySpan<byte> body, ReadOnlySpan<byte> attributes, in MpAttributes mp)
    {
        if (body.Length == 4)
            return Families.Ipv4Unicast;
        // An MP_UNREACH_NLRI without a route as the only attribute: flags, type, length (one or two octets), AFI, SAFI.
        return body.Length == 4 + attributes.Length && attributes.Length is 6 or 7 && mp.UnreachFamily != Families.None
            && mp.Withdrawn.IsEmpty ? mp.UnreachFamily : Families.None;
    }

    private ReadOnlySpan<byte> Canonicalise(ReadOnlySpan<byte> attributes, bool fourOctetAs)
    {
        var slots = _slots.AsSpan(0, _count);
        SortByType(slots);
        ReadOnlySpan<byte> path = default;
        if (Find(AttributeType.AsPath) is { } pathSlot)
            path = attributes.Slice(pathSlot.Start, pathSlot.Length);
        scoped ReadOnlySpan<byte> aggregator = default;
        if (Find(AttributeType.Aggregator) is { } aggregatorSlot)
            aggregator = attributes.Slice(aggregatorSlot.Start, aggregatorSlot.Length);
        Span<byte> wideAggregator = stackalloc byte[8];
        if (!fourOctetAs)
        {
            ReadOnlySpan<byte> as4Path = default, as4Aggregator = default;
            if (Find(AttributeType.As4Path) is { } p)
                as4Path = attributes.Slice(p.Start, p.Length);
            if (Find(AttributeType.As4Aggregator) is { } a)
                as4Aggregator = attributes.Slice(a.Start, a.Length);
            path = As4Merge.Path(path, aggregator, as4Path, ref _path);
            aggregator = As4Merge.Aggregator(aggregator, as4Aggregator, wideAggregator);
        }

        var size = attributes.Length + path.Length + 16;
        if (_canonical.Length < size)
            _canonical = new byte[size * 2];
        var w = new WireWriter(_canonical);
        foreach (ref readonly var slot in slots)
        {
            switch (slot.Type)
            {
                case AttributeType.NextHop or AttributeType.As4Path or AttributeType.As4Aggregator:
                    break;
                case AttributeType.AsPath:
                    CanonicalAttributes.Write(ref w, AttributeFlags.Transitive, AttributeType.AsPath, path);
                    break;
                case AttributeType.Aggregator:
                    CanonicalAttributes.Write(ref w, slot.Flags, AttributeType.Aggregator, aggregator);
                    break;
                default:
                    var flags = AttributeRules.ExpectedKind(slot.Type) is null ? slot.Flags | AttributeFlags.Partial
                        : slot.Flags;
                    CanonicalAttributes.Write(ref w, flags & (AttributeFlags)0xE0, slot.Type,
                        attributes.Slice(slot.Start, slot.Length));
                    break;
            }
        }
        return w.Written;
    }

    // Nearly always sorted already.
    private static void SortByType(Span<Slot> slots)
    {
        for (var i = 1; i < slots.Length; i++)
        {
            var slot = slots[i];
            var at = i;
            for (; at > 0 && slots[at - 1].Type > slot.Type; at--)
                slots[at] = slots[at - 1];
            slots[at] = slot;
        }
    }

    private static bool Fail(byte subcode, string reason, out NotificationError? error)
    {
        error = NotificationError.Update(subcode, "bad UPDATE: " + reason);
        return false;
    }

    /// <summary>A set of type octets.</summary>
    private ref struct SeenTypes
    {
        private ulong _a, _b, _c, _d;

        public bool Add(AttributeType type)
        {
            switch ((byte)type >> 6)
            {
                case 0: return Set(ref _a, (byte)type);
                case 1: return Set(ref _b, (byte)type);
                case 2: return Set(ref _c, (byte)type);
                default: return Set(ref _d, (byte)type);
            }
        }

        private static bool Set(ref ulong word, byte type)
        {
            var bit = 1UL << (type & 63);
            var added = (word & bit) == 0;
            word |= bit;
            return added;
        }
    }
}
