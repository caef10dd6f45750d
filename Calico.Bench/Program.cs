using Calico.Bench.Nft;

switch (args)
{
    case ["nft", ..]:
        return NftBench.Run(args[1..]);
    default:
        Console.Error.WriteLine("usage: Calico.Bench nft [RULES MEMBERS]");
        return 64;
}
