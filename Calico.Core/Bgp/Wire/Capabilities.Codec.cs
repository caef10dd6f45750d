using System.Collections.Immutable;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Wire;

// Code, length and value of each capability.
public sealed partial record Capabilities
{
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
        if (!ExtendedNextHop.IsEmpty)
            EncodeExtendedNextHop(ref w);
        if (ExtendedMessage)
            w.EndLength8(Begin(ref w, CapabilityCode.ExtendedMessage));
        foreach (var role in Roles)
        {
            var token = Begin(ref w, CapabilityCode.Role);
            w.WriteByte((byte)role);
            w.EndLength8(token);
        }
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
            case CapabilityCode.Role:
                if (value.Remaining != 1 || !value.TryReadByte(out var role))
                    return false;
                if (!Roles.Contains((BgpRole)role))
                    result = this with { Roles = Roles.Add((BgpRole)role) };
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
            case CapabilityCode.ExtendedNextHop:
                if (!TryReadExtendedNextHop(ref value, out var encodings))
                    return false;
                result = this with { ExtendedNextHop = encodings };
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

    // AFI (2), SAFI (2, unlike everywhere else), AFI of the next hop (2). No SAFI is greater than an octet.
    private static bool TryReadExtendedNextHop(ref WireReader value, out ImmutableArray<NextHopEncoding> encodings)
    {
        encodings = [];
        if (value.Remaining % 6 != 0)
            return false;
        while (value.TryReadUInt16(out var afi) && value.TryReadUInt16(out var safi) && value.TryReadUInt16(out var nextHop))
        {
            if (safi <= byte.MaxValue)
                encodings = encodings.Add(new(new AfiSafi(afi, (byte)safi), nextHop));
        }
        return true;
    }

    private void EncodeExtendedNextHop(ref WireWriter w)
    {
        var token = Begin(ref w, CapabilityCode.ExtendedNextHop);
        foreach (var encoding in ExtendedNextHop)
        {
            w.WriteUInt16(encoding.Family.Afi);
            w.WriteUInt16(encoding.Family.Safi);
            w.WriteUInt16(encoding.NextHopAfi);
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
