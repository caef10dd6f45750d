using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

/// <summary>One family in a graceful restart capability: the F bit says that its forwarding state survived.</summary>
public readonly record struct RestartFamily(AfiSafi Family, bool ForwardingPreserved);

/// <summary>
/// RFC 4724 section 3, with the N bit of RFC 8538.
/// <code>
///  +-+-+-----+-----------------------+
///  |R|N| 0 0 | Restart time, seconds |   then for each family: AFI (2), SAFI (1), F bit and zeros (1)
///  +-+-+-----+-----------------------+
/// </code>
/// No family at all means: "I can wait for your restart and send End-of-RIB, but keep nothing myself".
/// </summary>
public sealed record GracefulRestartCapability(bool RestartState, bool NotificationSupport, TimeSpan RestartTime,
    ImmutableArray<RestartFamily> Families)
{
    /// <summary>The field has twelve bits of seconds.</summary>
    public static TimeSpan MaxRestartTime => TimeSpan.FromSeconds(4095);

    public bool Lists(Families family) => Families.Any(f => f.Family.Family == family);

    public bool ForwardingPreserved(Families family) =>
        Families.Any(f => f.Family.Family == family && f.ForwardingPreserved);

    public bool Equals(GracefulRestartCapability? other) =>
        other is not null && RestartState == other.RestartState && NotificationSupport == other.NotificationSupport
        && RestartTime == other.RestartTime && Families.AsSpan().SequenceEqual(other.Families.AsSpan());

    public override int GetHashCode() =>
        HashCode.Combine(RestartState, NotificationSupport, RestartTime, Families.Length);
}

/// <summary>
/// One family of a long-lived graceful restart capability (RFC 9494 section 3.1): how long the speaker's routes may be kept
/// as a last resort once its restart time is over, in seconds of 24 bits; the F bit says that its forwarding state survived.
/// </summary>
public readonly record struct LongLivedFamily(AfiSafi Family, bool ForwardingPreserved, TimeSpan StaleTime)
{
    public static TimeSpan MaxStaleTime => TimeSpan.FromSeconds((1 << 24) - 1);
}

/// <summary>Several paths for a prefix in one family (RFC 7911 section 4): whether the speaker takes and tells them.</summary>
public readonly record struct AddPathFamily(AfiSafi Family, bool Receives, bool Sends);

/// <summary>A capability without a meaning here; kept as it came.</summary>
public readonly record struct OtherCapability(byte Code, ImmutableArray<byte> Value)
{
    public bool Equals(OtherCapability other) =>
        Code == other.Code && Value.AsSpan().SequenceEqual(other.Value.AsSpan());
    public override int GetHashCode() => HashCode.Combine(Code, Value.Length);
}

/// <summary>
/// What a speaker announces in its OPEN (RFC 5492): a list of code, length, value. Repeated multiprotocol capabilities
/// add up; of every other repeated one the last wins.
/// </summary>
public sealed record Capabilities
{
    public static Capabilities None { get; } = new();

    public ImmutableArray<AfiSafi> Multiprotocol { get; init; } = [];
    public bool RouteRefresh { get; init; }
    public bool EnhancedRouteRefresh { get; init; }
    public bool ExtendedMessage { get; init; }
    public GracefulRestartCapability? GracefulRestart { get; init; }
    public Asn? FourOctetAs { get; init; }

    /// <summary>Null: LLGR_STALE means nothing to the speaker. Empty: it does, and its own routes are not to be kept. Without graceful restart it is void.</summary>
    public ImmutableArray<LongLivedFamily>? LongLived { get; init; }

    /// <summary>At most one entry for each family.</summary>
    public ImmutableArray<AddPathFamily> AddPath { get; init; } = [];
    public ImmutableArray<OtherCapability> Others { get; init; } = [];

    /// <summary>Our families that are announced; none at all means IPv4 unicast (RFC 4760 section 8).</summary>
    public Families Families => Multiprotocol.IsEmpty
        ? Families.Ipv4Unicast
        : Multiprotocol.Aggregate(Families.None, (set, f) => set | f.Family);

    /// <summary>Our families whose several paths the speaker takes.</summary>
    public Families AddPathReceived =>
        AddPath.Where(f => f.Receives).Aggregate(Families.None, (set, f) => set | f.Family.Family);

    /// <summary>Our families whose several paths the speaker tells.</summary>
    public Families AddPathSent =>
        AddPath.Where(f => f.Sends).Aggregate(Families.None, (set, f) => set | f.Family.Family);

    /// <summary>Reads capabilities until the end of the reader; false if one does not fit or has an impossible length.</summary>
    public static bool TryDecode(ref WireReader r, Capabilities known, out Capabilities result)
    {
        result = known;
        while (!r.AtEnd)
        {
            if (!r.TryReadByte(out var code) || !r.TryReadByte(out var length)
                || !r.TryReadNested(length, out var value)
                || !result.TryAdd((CapabilityCode)code, ref value, out result))
                return false;
        }
        return true;
    }

    public void Encode(ref WireWriter w)
    {
        foreach (var f in Multiprotocol)
        {
            var mp = Begin(ref w, CapabilityCode.Multiprotocol);
            w.WriteUInt16(f.Afi);
            w.WriteByte(0);
            w.WriteByte(f.Safi);
            w.EndLength8(mp);
        }
        if (RouteRefresh)
            w.EndLength8(Begin(ref w, CapabilityCode.RouteRefresh));
        if (ExtendedMessage)
            w.EndLength8(Begin(ref w, CapabilityCode.ExtendedMessage));
        if (GracefulRestart is { } gr)
            EncodeGracefulRestart(ref w, gr);
        if (FourOctetAs is { } asn)
        {
            var as4 = Begin(ref w, CapabilityCode.FourOctetAs);
            w.WriteUInt32(asn.Value);
            w.EndLength8(as4);
        }
        if (!AddPath.IsEmpty)
            EncodeAddPath(ref w);
        if (LongLived is { } longLived)
            EncodeLongLived(ref w, longLived);
        if (EnhancedRouteRefresh)
            w.EndLength8(Begin(ref w, CapabilityCode.EnhancedRouteRefresh));
        foreach (var other in Others)
        {
            var token = Begin(ref w, (CapabilityCode)other.Code);
            w.WriteBytes(other.Value.AsSpan());
            w.EndLength8(token);
        }
    }

    public bool Equals(Capabilities? other) =>
        other is not null && RouteRefresh == other.RouteRefresh && EnhancedRouteRefresh == other.EnhancedRouteRefresh
        && ExtendedMessage == other.ExtendedMessage && GracefulRestart == other.GracefulRestart
        && FourOctetAs == other.FourOctetAs && Multiprotocol.AsSpan().SequenceEqual(other.Multiprotocol.AsSpan())
        && AddPath.AsSpan().SequenceEqual(other.AddPath.AsSpan())
        && LongLived.HasValue == other.LongLived.HasValue && (LongLived ?? []).AsSpan().SequenceEqual((other.LongLived ?? []).AsSpan())
        && Others.AsSpan().SequenceEqual(other.Others.AsSpan());

    public override int GetHashCode() =>
        HashCode.Combine(RouteRefresh, EnhancedRouteRefresh, ExtendedMessage, GracefulRestart, FourOctetAs,
            Multiprotocol.Length);

    private bool TryAdd(CapabilityCode code, ref WireReader value, out Capabilities result)
    {
        result = this;
        switch (code)
        {
            case CapabilityCode.Multiprotocol:
                if (value.Remaining != 4 || !value.TryReadUInt16(out var afi) || !value.TryReadByte(out _)
                    || !value.TryReadByte(out var safi))
                    return false;
                var family = new AfiSafi(afi, safi);
                if (!Multiprotocol.Contains(family))
                    result = this with { Multiprotocol = Multiprotocol.Add(family) };
                return true;
            case CapabilityCode.RouteRefresh:
                result = this with { RouteRefresh = true };
                return true;
            case CapabilityCode.ExtendedMessage:
                result = this with { ExtendedMessage = true };
                return true;
            case CapabilityCode.EnhancedRouteRefresh:
                result = this with { EnhancedRouteRefresh = true };
                return true;
            case CapabilityCode.FourOctetAs:
                if (value.Remaining != 4 || !value.TryReadUInt32(out var asn))
                    return false;
                result = this with { FourOctetAs = new Asn(asn) };
                return true;
            case CapabilityCode.GracefulRestart:
                if (!TryReadGracefulRestart(ref value, out var restart))
                    return false;
                result = this with { GracefulRestart = restart };
                return true;
            case CapabilityCode.AddPath:
                if (!TryReadAddPath(ref value, out var addPath))
                    return false;
                result = this with { AddPath = addPath };
                return true;
            case CapabilityCode.LongLivedRestart:
                if (!TryReadLongLived(ref value, out var longLived))
                    return false;
                result = this with { LongLived = longLived };
                return true;
            default:
                result = this with { Others = Others.Add(new((byte)code, [.. value.Rest])) };
                return true;
        }
    }

    private static bool TryReadGracefulRestart(ref WireReader value, out GracefulRestartCapability? restart)
    {
        restart = null;
        if (!value.TryReadUInt16(out var head) || value.Remaining % 4 != 0)
            return false;
        var families = ImmutableArray.CreateBuilder<RestartFamily>(value.Remaining / 4);
        while (value.TryReadUInt16(out var afi) && value.TryReadByte(out var safi) && value.TryReadByte(out var flags))
            families.Add(new(new AfiSafi(afi, safi), (flags & 0x80) != 0));
        restart = new((head & 0x8000) != 0, (head & 0x4000) != 0, TimeSpan.FromSeconds(head & 0x0FFF),
            families.MoveToImmutable());
        return true;
    }

    private static void EncodeGracefulRestart(ref WireWriter w, GracefulRestartCapability gr)
    {
        var token = Begin(ref w, CapabilityCode.GracefulRestart);
        var seconds = (int)Math.Clamp(gr.RestartTime.TotalSeconds, 0, 4095);
        w.WriteUInt16((ushort)(seconds | (gr.RestartState ? 0x8000 : 0) | (gr.NotificationSupport ? 0x4000 : 0)));
        foreach (var f in gr.Families)
        {
            w.WriteUInt16(f.Family.Afi);
            w.WriteByte(f.Family.Safi);
            w.WriteByte(f.ForwardingPreserved ? (byte)0x80 : (byte)0);
        }
        w.EndLength8(token);
    }

    // AFI (2), SAFI (1), send/receive (1): 1 takes, 2 tells, 3 both. Other numbers and repetitions are ignored.
    private static bool TryReadAddPath(ref WireReader value, out ImmutableArray<AddPathFamily> families)
    {
        families = [];
        if (value.Remaining % 4 != 0)
            return false;
        while (value.TryReadUInt16(out var afi) && value.TryReadByte(out var safi) && value.TryReadByte(out var ways))
        {
            var family = new AfiSafi(afi, safi);
            if (ways is >= 1 and <= 3 && !families.Any(f => f.Family == family))
                families = families.Add(new(family, (ways & 1) != 0, (ways & 2) != 0));
        }
        return true;
    }

    private void EncodeAddPath(ref WireWriter w)
    {
        var token = Begin(ref w, CapabilityCode.AddPath);
        foreach (var f in AddPath)
        {
            w.WriteUInt16(f.Family.Afi);
            w.WriteByte(f.Family.Safi);
            w.WriteByte((byte)((f.Receives ? 1 : 0) | (f.Sends ? 2 : 0)));
        }
        w.EndLength8(token);
    }

    // AFI (2), SAFI (1), F bit and zeros (1), seconds (3).
    private static bool TryReadLongLived(ref WireReader value, out ImmutableArray<LongLivedFamily> families)
    {
        families = [];
        if (value.Remaining % 7 != 0)
            return false;
        while (value.TryReadUInt16(out var afi) && value.TryReadByte(out var safi) && value.TryReadUInt32(out var rest))
            families = families.Add(new(new AfiSafi(afi, safi), rest >> 31 != 0, TimeSpan.FromSeconds(rest & 0xFFFFFF)));
        return true;
    }

    private static void EncodeLongLived(ref WireWriter w, ImmutableArray<LongLivedFamily> families)
    {
        var token = Begin(ref w, CapabilityCode.LongLivedRestart);
        foreach (var f in families)
        {
            w.WriteUInt16(f.Family.Afi);
            w.WriteByte(f.Family.Safi);
            w.WriteUInt32((f.ForwardingPreserved ? 1u << 31 : 0) | (uint)Math.Clamp(f.StaleTime.TotalSeconds, 0, LongLivedFamily.MaxStaleTime.TotalSeconds));
        }
        w.EndLength8(token);
    }

    private static WireWriter.LengthToken Begin(ref WireWriter w, CapabilityCode code)
    {
        w.WriteByte((byte)code);
        return w.BeginLength8();
    }
}
