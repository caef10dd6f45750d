namespace Calico.Tests.Core.Bgp.Fuzz;

/// <summary>
/// Makes hostile inputs of good ones: flips, cuts, repeats, splices, and numbers at the limits of what a field of one or two
/// octets can say. Keeps the inputs that showed something new and goes on from them.
/// </summary>
internal sealed class Mutator(int seed, IEnumerable<byte[]> seeds)
{
    private const int MaxCorpus = 20_000, MaxLength = 5_000;

    private static readonly byte[] Limits = [0, 1, 2, 3, 4, 5, 7, 8, 0x10, 0x20, 0x21, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xF0, 0xFE, 0xFF];

    private readonly Random _random = new(seed);
    private readonly List<byte[]> _corpus = [.. seeds];
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);

    /// <summary>Different things that inputs have shown.</summary>
    public int Shown => _seen.Count;

    public int Corpus => _corpus.Count;

    /// <summary>What the input made of itself; one that is new is worth going on from.</summary>
    public void Learn(byte[] input, string shown)
    {
        if (_seen.Add(shown) && _corpus.Count < MaxCorpus)
            _corpus.Add(input);
    }

    public byte[] Next()
    {
        var input = new List<byte>(_corpus[_random.Next(_corpus.Count)]);
        for (var times = 1 + _random.Next(4); times > 0; times--)
            Mutate(input);
        return [.. input.Take(MaxLength)];
    }

    private void Mutate(List<byte> input)
    {
        var at = input.Count == 0 ? 0 : _random.Next(input.Count);
        switch (_random.Next(8))
        {
            case 0 when input.Count > 0:
                input[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when input.Count > 0:
                input[at] = Limits[_random.Next(Limits.Length)];
                break;
            case 2 when input.Count > 0:
                input.RemoveRange(at, Math.Min(_random.Next(1, 9), input.Count - at));
                break;
            case 3:
                input.InsertRange(at, Enumerable.Range(0, _random.Next(1, 9)).Select(_ => (byte)_random.Next(256)));
                break;
            case 4 when input.Count > 0:
                // An attribute, a capability or a prefix once more.
                input.InsertRange(at, input.GetRange(at, Math.Min(_random.Next(1, 40), input.Count - at)));
                break;
            case 5 when input.Count > 1:
                // A number of two octets, a little more or less.
                at = Math.Min(at, input.Count - 2);
                var number = ((input[at] << 8) | input[at + 1]) + _random.Next(-8, 9);
                (input[at], input[at + 1]) = ((byte)(number >> 8), (byte)number);
                break;
            case 6:
                var other = _corpus[_random.Next(_corpus.Count)];
                if (other.Length > 0)
                {
                    var from = _random.Next(other.Length);
                    input.InsertRange(at, other.AsSpan(from, Math.Min(_random.Next(1, 80), other.Length - from)).ToArray());
                }
                break;
            case 7 when input.Count > 0:
                input[at] = (byte)_random.Next(256);
                break;
        }
    }
}
