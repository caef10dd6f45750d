using Calico.Core.Bgp.Wire;
using Calico.Core.Net;

namespace Calico.Core.Bgp.Mrt;

/// <summary>BGP4MP records (RFC 6396 section 4.4, RFC 8050 section 3): messages and changes of state of a session.</summary>
internal static class MrtMessages
{
    private const string Type = "BGP4MP";

    public static bool TryRead(DateTimeOffset time, int subtype, ReadOnlySpan<byte> body, List<MrtRecord> records)
    {
        // STATE_CHANGE 0, 5; MESSAGE 1, 4; of our own 6, 7; the same with path identifiers 8 to 11.
        if (subtype is not (0 or 1 or 4 or 5 or 6 or 7 or 8 or 9 or 10 or 11))
            return MrtReader.Skip(time, 16, subtype, records);
        var isFour = subtype is 4 or 5 or 7 or 9 or 11;
        var r = new WireReader(body);
        if (!MrtReader.TryReadAs(ref r, isFour, out var peerAs) || !MrtReader.TryReadAs(ref r, isFour, out var localAs)
            || !r.TryReadUInt16(out _) || !r.TryReadUInt16(out var afi) || afi is not (1 or 2)
            || !MrtReader.TryReadAddress(ref r, afi == 1 ? 4 : 16, out var address) || !r.TryReadBytes(afi == 1 ? 4 : 16, out _))
            return false;
        var peer = new MrtPeer(address, peerAs);
        if (subtype is 0 or 5)
        {
            if (!r.TryReadUInt16(out var from) || !r.TryReadUInt16(out var to))
                return false;
            records.Add(new MrtStateChange(time, peer, from, to) { Type = Type });
            return true;
        }
        records.Add(new MrtMessage(time, peer, r.Rest.ToArray(), new WireContext(isFour, ExtendedMessages: true, peerAs == localAs, Families.Both)
        {
            PathIdsIn = subtype >= 8 ? Families.Both : Families.None,
            ExtendedNextHop = true,
        })
        { Type = Type });
        return true;
    }
}
