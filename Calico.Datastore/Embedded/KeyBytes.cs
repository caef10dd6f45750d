namespace Calico.Datastore.Embedded;

/// <summary>Keys as the store has them: bytes, ordered as unsigned numbers.</summary>
internal static class KeyBytes
{
    public static IEqualityComparer<byte[]> Comparer { get; } = new ContentComparer();

    public static string Show(ReadOnlySpan<byte> key) => DatastoreLimits.DecodeKey(key);

    private sealed class ContentComparer : IEqualityComparer<byte[]>
    {
        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] obj)
        {
            var hash = new HashCode();
            hash.AddBytes(obj);
            return hash.ToHashCode();
        }
    }
}
