namespace Calico.Core.Bgp.Rib;

/// <summary>
/// Maximum prefixes: the table itself never holds more routes of a peer than it may have, however late its session is
/// ended.
/// </summary>
internal sealed partial class RibTable<T>
{
    private enum LimitState : byte
    {
        Below,
        Warned,
        Exceeded,
    }

    private readonly LimitState[] _limits = new LimitState[peers.Length];

    /// <summary>A new session, which may warn anew.</summary>
    public void ForgetLimit(ushort peer) => _limits[peer] = LimitState.Below;

    /// <summary>The limit may be another one now.</summary>
    public void CheckLimit(ushort peer)
    {
        ForgetLimit(peer);
        if (Peer(peer).MaxPrefixes is { } max && _counts[peer] > max)
            Cross(peer, max, LimitState.Exceeded);
        else
            WarnOfLimit(peer);
    }

    // Whether the peer may have one more prefix. What it kept over a restart and has not confirmed yet makes room first.
    private bool HasRoom(ushort peer)
    {
        if (peers[peer]!.MaxPrefixes is not { } max || _counts[peer] < max)
            return true;
        if (_limits[peer] == LimitState.Exceeded)
            return false;
        SweepStale(peer);
        if (_counts[peer] < max)
            return true;
        Cross(peer, max, LimitState.Exceeded);
        return false;
    }

    private void WarnOfLimit(ushort peer)
    {
        if (peers[peer]!.WarnPrefixes is { } warn && _counts[peer] >= warn && _limits[peer] == LimitState.Below)
            Cross(peer, peers[peer]!.MaxPrefixes ?? warn, LimitState.Warned);
    }

    private void Cross(ushort peer, int limit, LimitState state)
    {
        _limits[peer] = state;
        onLimit(new(peer, T.Family, limit, state == LimitState.Exceeded));
    }
}
